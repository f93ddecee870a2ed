"""tools/verify_audit.py on files, as a process of its own: what an export of a home says after somebody had it."""

from __future__ import annotations

import ast
import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app
from trading_pipeline.domain.audit import Frontier, canonical, inclusion_path, leaf_of
from trading_pipeline.services.audit.custody import renew_key, rotate_key
from trading_pipeline.services.audit.export import cell, meant
from trading_pipeline.services.audit.prove import Path as PathToRoot
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import following, newest_entries
from trading_pipeline_tests import audit_logs as logs
from trading_pipeline_tests.audit_homes import ENTRIES, AuditHome

TOOL = logs.stand_alone()
MOST_LINES = 150
Line = dict[str, Any]


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    return AuditHome.made(tmp_path_factory.mktemp("audit") / "home")


@pytest.fixture
def home(kept_home: AuditHome, tmp_path: Path) -> AuditHome:
    return kept_home.copied_to(tmp_path)


def command(home: AuditHome, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["--home", str(home.home), *words])
    assert done.exit_code == code, done.output
    return done


def exported(home: AuditHome, file: Path, *words: str) -> list[Line]:
    command(home, "audit", "export", "--out", str(file), *words)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def keys(home: AuditHome) -> list[str]:
    shown = json.loads(command(home, "audit", "keys", "show", "--json").output)
    return [key["public_key"] for key in shown["signed"]]


def judged(*words: str) -> tuple[int, str]:
    """The verifier in isolated mode: it sees nothing of this project, and no environment."""
    done = subprocess.run(
        [sys.executable, "-I", str(logs.TOOL), *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def written(file: Path, lines: list[Line]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def at(lines: list[Line], seq: int) -> int:
    return next(number for number, line in enumerate(lines) if line.get("seq") == seq)


def _edit(lines: list[Line]) -> list[Line]:
    lines[at(lines, 60)]["body"] = lines[at(lines, 60)]["body"].replace("ACME", "EVIL")
    return lines


def _delete(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.get("seq") != 60]


def _insert(lines: list[Line]) -> list[Line]:
    return [*lines[: at(lines, 60)], lines[at(lines, 59)], *lines[at(lines, 60) :]]


def _reorder(lines: list[Line]) -> list[Line]:
    one, other = at(lines, 60), at(lines, 65)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _truncate(lines: list[Line]) -> list[Line]:
    begun = lines[: at(lines, 60)]
    return [*begun, {"type": "end", "count": 59, "head": begun[-1]["head"]}]


def _cut_in_half(lines: list[Line]) -> list[Line]:
    return lines[: at(lines, 60)]


OF_THE_FILE: dict[str, tuple[Callable[[list[Line]], list[Line]], str]] = {
    "edit": (_edit, "First bad: entry 60\n"),
    "delete": (_delete, "First bad: entry 60\n"),
    "insert": (_insert, "First bad: entry 59\n"),
    "reorder": (_reorder, "First bad: entry 60\n"),
    "truncate": (_truncate, "First bad: entry 51, or one up to 60\n"),
    "cut in half": (_cut_in_half, "First bad: entry 60\n"),
}


@pytest.mark.parametrize("change", OF_THE_FILE)
def test_a_changed_export_is_found_by_a_process_of_its_own(home: AuditHome, tmp_path: Path, change: str) -> None:
    tamper, said = OF_THE_FILE[change]
    file = written(tmp_path / "export.jsonl", tamper(exported(home, tmp_path / "export.jsonl")))

    code, output = judged(str(file), "--key", *keys(home), "--anchors", str(home.anchors))

    assert code == 1, output
    assert output.endswith(said), output


def test_an_export_nobody_touched_holds_up_to_its_last_entry(home: AuditHome, tmp_path: Path) -> None:
    lines = exported(home, tmp_path / "export.jsonl")

    code, output = judged(str(tmp_path / "export.jsonl"), "--key", *keys(home), "--anchors", str(home.anchors))

    assert (code, output.split(":")[0]) == (0, "OK"), output
    assert lines[-1]["count"] >= ENTRIES
    assert f"anchored to {lines[-1]['count']}" in output


def test_an_export_older_than_its_anchors_is_told_that_it_may_be_so(home: AuditHome, tmp_path: Path) -> None:
    exported(home, tmp_path / "older.jsonl")
    of_its_day = shutil.copy(home.anchors, tmp_path / "of_its_day.jsonl")
    home.tell([logs.told(1000 + number) for number in range(30)])

    code, output = judged(str(tmp_path / "older.jsonl"), "--key", *keys(home), "--anchors", str(home.anchors))
    assert (code, "exported before checkpoint" in output, "First bad: entry 122" in output) == (1, True, True), output
    assert judged(str(tmp_path / "older.jsonl"), "--key", *keys(home), "--anchors", str(of_its_day))[0] == 0


def test_entries_that_nobody_signed_are_said_to_be_such(home: AuditHome, tmp_path: Path) -> None:
    lines = exported(home, tmp_path / "whole.jsonl")
    begun = lines[: at(lines, 60)]
    written(tmp_path / "cut.jsonl", [*begun, {"type": "end", "count": 59, "head": begun[-1]["head"]}])
    first = written(tmp_path / "kept.jsonl", [json.loads(home.anchors.read_text().splitlines()[1])])

    code, output = judged(str(tmp_path / "cut.jsonl"), "--key", *keys(home), "--anchors", str(first))

    assert (code, "signed to 50 (whoever wrote what comes after is NOT known)" in output) == (0, True), output


def test_without_anchors_or_of_a_part_it_says_that_much_is_not_seen(home: AuditHome, tmp_path: Path) -> None:
    exported(home, tmp_path / "whole.jsonl")
    exported(home, tmp_path / "part.jsonl", "--from", "30", "--to", "80")
    exported(home, tmp_path / "long.jsonl", "--from", "30", "--to", "100000")

    unanchored = judged(str(tmp_path / "whole.jsonl"), "--key", *keys(home))
    part = judged(str(tmp_path / "part.jsonl"), "--key", *keys(home), "--anchors", str(home.anchors))

    beyond = judged(str(tmp_path / "long.jsonl"), "--key", *keys(home), "--anchors", str(home.anchors))

    assert (unanchored[0], part[0], beyond[0]) == (3, 3, 3), (unanchored, part, beyond)
    assert "entries 30 to 80, signed to 75 (" in part[1]
    assert "anchored to 75," in part[1]


@pytest.mark.parametrize("swap", ["another log", "rolled back", "rewritten with the stolen key"])
def test_e47_a_file_swapped_rolled_back_or_rewritten_is_found_by_the_anchors(
    home: AuditHome, tmp_path: Path, swap: str
) -> None:
    other = {
        "another log": lambda: AuditHome.made(tmp_path / "other", 130, "their-log"),
        "rolled back": lambda: AuditHome.made(tmp_path / "other", 30),
        "rewritten with the stolen key": lambda: home,
    }[swap]()
    lines = exported(other, tmp_path / "export.jsonl")
    anchors, key = home.anchors, keys(other)[0]
    if swap.startswith("rewritten"):
        anchors = written(tmp_path / "kept.jsonl", [_kept_before(home)])

    code, output = judged(str(tmp_path / "export.jsonl"), "--key", key, "--anchors", str(anchors))

    assert (code, "DAMAGED" in output) == (1, True), output
    assert lines


def _kept_before(home: AuditHome) -> Line:
    """Another checkpoint 4 of the same log, as it left the machine before the log was rewritten."""
    line: Line = json.loads(home.anchors.read_text().splitlines()[3])
    return line | {"signature": "00" * 64}


def test_the_message_of_an_alert_is_an_anchor(home: AuditHome, tmp_path: Path) -> None:
    exported(home, tmp_path / "export.jsonl")
    workspace = home.open()
    with closing(workspace.ledger), workspace.ledger.read() as tx:
        messages = [one.message for one in tx.alerts("SIM") if one.kind == "audit_checkpoint"]
    newest = json.loads(command(home, "audit", "checkpoint", "--json").output)

    told = judged(str(tmp_path / "export.jsonl"), "--key", *keys(home), "--anchor", f"INFO: {messages[0]}")
    shown = judged(str(tmp_path / "export.jsonl"), "--key", *keys(home), "--anchor", json.dumps(newest))
    other = judged(
        str(tmp_path / "export.jsonl"),
        "--key",
        *keys(home),
        "--anchor",
        messages[0].replace("checkpoint 1", "checkpoint 2"),
    )

    assert (told[0], shown[0], other[0]) == (3 if " entry 0 " in messages[0] else 0, 0, 1), (told, shown, other)


def test_a_rotated_key_follows_by_itself_and_a_renewed_one_must_be_brought(home: AuditHome, tmp_path: Path) -> None:
    first = keys(home)
    workspace = home.open()
    with closing(workspace.ledger):
        desk = audit_desk(workspace)
        rotate_key(desk, "ann", "yearly")
        home.sequence(desk)
        rotated = tmp_path / "rotated.jsonl"
        exported(home, rotated)
        (home.keys / "signing.pem").unlink()
        renew_key(desk, "bob", "the disk died")
        home.sequence(desk)
    exported(home, tmp_path / "renewed.jsonl")
    every = [word for key in keys(home) for word in ("--key", key)]

    by_first = judged(str(rotated), "--key", *first, "--anchors", str(home.anchors.with_name("none")))
    unknown = judged(str(tmp_path / "renewed.jsonl"), "--key", *first)
    brought = judged(str(tmp_path / "renewed.jsonl"), *every, "--anchors", str(home.anchors))

    assert by_first[0] == 2  # no such file
    assert judged(str(rotated), "--key", *first)[0] == 3
    assert (unknown[0], "a key unknown or given up" in unknown[1]) == (1, True), unknown
    assert (brought[0], "without its word" in brought[1]) == (0, True), brought


def test_what_follows_on_an_accepted_restore_is_verified_as_a_part(home: AuditHome, tmp_path: Path) -> None:
    older = shutil.copy(home.database, tmp_path / "older.sqlite3")
    home.tell([logs.told(1000 + number) for number in range(30)])
    shutil.copy(older, home.database)
    refused = command(home, "audit", "verify", code=3)
    command(home, "audit", "accept", "--reason", "restored", "--operator", "ann")
    home.tell([logs.told(2000 + number) for number in range(30)])
    first = next(one for one in _tail(home) if one["kind"] == "audit_accepted")["seq"]
    exported(home, tmp_path / "after.jsonl", "--from", str(first))

    code, output = judged(str(tmp_path / "after.jsonl"), "--key", *keys(home), "--anchors", str(home.anchors))

    assert "an older state" in refused.output
    assert (code, f"entries {first} to" in output) == (3, True), output
    assert "accepted with checkpoint" in command(home, "audit", "verify").output


def _tail(home: AuditHome) -> list[Line]:
    found: list[Line] = json.loads(command(home, "audit", "tail", "-n", "60", "--json").output)
    return found


def test_entries_are_followed_as_they_come(home: AuditHome) -> None:
    workspace = home.open()
    with closing(workspace.ledger):
        newest = newest_entries(workspace, 1)[0].seq
        coming = following(workspace, newest - 1, lambda: home.tell([logs.told(3000)]))

        assert next(coming).seq == newest
        assert next(coming).subject == "order-3000"


def test_one_entry_is_proven_and_another_one_is_not(home: AuditHome, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    command(home, "audit", "prove", "60", "--out", str(file))
    proof = json.loads(file.read_text())
    changed = written(tmp_path / "changed.json", [proof | {"body": proof["body"].replace("ACME", "EVIL")}])
    shorter = written(tmp_path / "shorter.json", [proof | {"path": proof["path"][1:]}])

    assert judged("--proof", str(file), "--key", *keys(home))[0] == 0
    assert judged("--proof", str(file), "--key", logs.FORGED.public.hex())[0] == 1
    assert judged("--proof", str(changed), "--key", *keys(home))[0] == 1
    assert judged("--proof", str(shorter), "--key", *keys(home))[0] == 1


def test_what_cannot_be_judged_is_told_apart_from_damage(home: AuditHome, tmp_path: Path) -> None:
    exported(home, tmp_path / "export.jsonl")

    assert judged(str(tmp_path / "export.jsonl"), "--key", "not hexadecimal")[0] == 2
    assert judged(str(tmp_path / "export.jsonl"), "--key", f"{keys(home)[0]}00")[0] == 2  # no key of Ed25519
    assert judged(str(tmp_path / "export.jsonl"))[0] == 2  # without any key nobody can tell who signed
    assert judged(str(tmp_path / "export.jsonl"), "--key", *keys(home), "--anchor", "nonsense")[0] == 2
    assert judged("--key", *keys(home))[0] == 2


def test_a_part_is_chosen_by_day_and_a_wrong_one_is_refused(home: AuditHome, tmp_path: Path) -> None:
    (newest,) = json.loads(command(home, "audit", "tail", "-n", "1", "--json").output)
    day = newest["recorded_at"][:10]

    lines = exported(home, tmp_path / "day.jsonl", "--from", day, "--to", day)

    def refused(*words: str) -> str:
        return command(home, "audit", "export", *words, code=1).output

    assert lines[-1]["count"] >= 1
    assert "no entry of the audit log" in refused("--from", "2001-01-01", "--to", "2001-01-02")
    assert "write the number of one entry" in refused("--from", "soon")
    assert "there are json, csv" in refused("--format", "xml")


def test_a_csv_says_what_the_log_says(home: AuditHome) -> None:
    rows = list(csv.DictReader(io.StringIO(command(home, "audit", "export", "--format", "csv").output)))
    entries = [row for row in rows if row["type"] == "entry"]

    assert (rows[0]["type"], rows[-1]["type"]) == ("header", "end")
    for row in entries:
        names = ("recorded_at", "occurred_at", "kind", "account", "subject", "actor")
        body = {"v": 1, "seq": int(row["seq"]), "data": json.loads(row["data"])} | {n: meant(row[n]) for n in names}
        assert leaf_of(canonical(body)).hex() == row["leaf"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1"])
def test_a_cell_that_begins_like_a_formula_is_data(text: str) -> None:
    assert cell(text) == f"'{text}"


@given(st.text())
def test_what_was_written_into_a_cell_comes_back(text: str) -> None:
    assert meant(cell(text)) == text
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


names = st.text(st.characters(codec="utf-8"), max_size=8)
bodies = st.recursive(
    names | st.integers(-(2**53) + 1, 2**53 - 1), lambda inner: st.dictionaries(names, inner, max_size=5), max_leaves=12
)


@given(st.dictionaries(names, bodies, max_size=6))
def test_canonical_json_of_the_stand_alone_verifier_is_rfc_8785(value: dict[str, Any]) -> None:
    assert TOOL.canonical(value).encode() == rfc8785.dumps(value)


@given(st.integers(1, 300), st.data())
def test_a_path_read_leaf_by_leaf_is_that_of_the_whole_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [leaf_of(str(number)) for number in range(size)]
    path = PathToRoot(index)
    for leaf in leaves:
        path.append(leaf)

    assert path.hashes() == inclusion_path(leaves, index)
    assert Frontier.of(leaves).size == size


def test_the_stand_alone_verifier_is_short_and_imports_nothing_of_the_project() -> None:
    text = logs.TOOL.read_text(encoding="utf-8")
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    roots = {str(name).partition(".")[0] for name in imported}

    assert roots <= {"cryptography", *sys.stdlib_module_names}
    assert sum(bool(line.strip()) for line in text.splitlines()) <= MOST_LINES
