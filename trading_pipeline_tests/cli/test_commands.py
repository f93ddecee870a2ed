"""The command line as a stranger uses it: every verb, in words and as JSON, and every mistake with its remedy."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import VERBS, _out_of_luck, app, hoisted
from trading_pipeline_tests.traded_home import TradedHome

GROUPS = {
    "risk": ("show", "what-if", "rearm"),
    "config": ("check", "show"),
    "data": ("import", "check"),
    "session": ("replay",),
}
COMMANDS: list[tuple[str, ...]] = [
    *((verb,) for verb in VERBS if verb not in GROUPS),
    *((group, verb) for group, verbs in GROUPS.items() for verb in verbs),
]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object, home: Path | None = None) -> Said:
    """The command, in this process, on its own home."""
    line = [*map(str, arguments), *(["--home", str(home)] if home else [])]
    done = CliRunner().invoke(app, hoisted(line))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def refused(*arguments: object, home: Path | None = None) -> str:
    """What a command that cannot be done says; it ends with 1 and without a traceback."""
    said = run(*arguments, home=home)
    assert said.code == 1, said
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    return " ".join(said.err.split())


def on(made: TradedHome, *arguments: object) -> Said:
    return run(*arguments, "--profile", made.profile, home=made.home)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_verb_has_help_with_every_option_explained(command: Sequence[str]) -> None:
    said = run(*command, "--help")

    assert said.code == 0
    assert "Usage: " in said.out
    assert "<" not in "".join(line for line in said.out.splitlines() if line.rstrip().endswith(">"))


def test_the_help_lists_every_verb_with_words() -> None:
    said = run("--help")

    assert all(f"  {verb} " in said.out for verb in VERBS)


@pytest.mark.parametrize("line", [("nonsense",), ("report", "--sesion", "latest"), ("data", "import"), ("explain",)])
def test_wrong_usage_ends_with_2(line: Sequence[str]) -> None:
    assert run(*line).code == 2


def test_global_options_may_stand_anywhere() -> None:
    assert hoisted(["status", "--home", "x", "--json", "--config=y"]) == [
        "--home", "x", "--config=y", "status", "--json",
    ]  # fmt: skip


READING = [
    ("status",), ("positions",), ("orders",), ("trades",), ("trades", "--session", "latest"), ("watchlist",),
    ("watchlist", "--all"), ("watchlist", "--as-of", "11:00"), ("decisions",), ("funnel",), ("report",),
    ("config", "show"), ("config", "check"), ("data", "check"),
]  # fmt: skip


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_every_verb_speaks_json(traded_home: TradedHome, command: Sequence[str]) -> None:
    said = on(traded_home, *command, "--json")

    assert said.code == 0, said
    assert said.json() is not None
    assert said.err == ""


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_every_verb_speaks_to_people(traded_home: TradedHome, command: Sequence[str]) -> None:
    said = on(traded_home, *command)

    assert said.code == 0, said
    assert said.out.strip()


def test_a_session_is_a_date_or_latest(traded_home: TradedHome) -> None:
    last = traded_home.traded[-1].isoformat()

    assert on(traded_home, "funnel", "--session", last, "--json").json()["session"] == last
    assert list(on(traded_home, "funnel", "--session", last, "--json").json())[1:10] == [
        "universe", "coarse", "scored", "watchlist", "planned", "approved", "submitted", "filled", "closed",
    ]  # fmt: skip


def test_latest_is_the_newest_traded_session_where_trading_is_shown(traded_home: TradedHome) -> None:
    assert on(traded_home, "report", "--json").json()["session"] == traded_home.traded[-1].isoformat()
    assert on(traded_home, "funnel", "--json").json()["session"] == traded_home.running.isoformat()


def test_a_trade_is_explained_back_to_its_bars(traded_home: TradedHome) -> None:
    with traded_home.open().ledger.read() as tx:
        trade = tx.trades("SIM")[0]

    assert on(traded_home, "explain", trade.trade_id, "--json").json()
    assert trade.symbol in on(traded_home, "explain", trade.trade_id).out


def test_the_decision_hash_is_that_of_the_session_record(traded_home: TradedHome) -> None:
    session = traded_home.traded[0]
    with traded_home.open().ledger.read() as tx:
        record = tx.session_record("SIM", session)

    said = on(traded_home, "decisions", "--session", session, "--hash")

    assert record is not None
    assert said.out.strip() == record.decision_hash


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("funnel", "--session", "2024-11-28"), "2024-11-28"),  # Thanksgiving
        (("funnel", "--session", "2024-11-23"), "2024-11-23"),  # a Saturday
        (("funnel", "--session", "tomorrow"), "write it as 2025-06-10, or: latest"),
        (("watchlist", "--session", "2024-03-05"), "2024-03-05"),
        (("report", "--session", "2024-03-05"), "2024-03-05"),
        (("watchlist", "--as-of", "noonish"), "is not an instant: write 10:30"),
        (("watchlist", "--as-of", "25:99"), "is not an instant"),
        (("explain", "tp-unknown"), "tp-unknown"),
        (("session", "replay", "--session", "2024-12-25"), "2024-12-25"),
        (("session", "replay", "--session", "2025-06-10"), "data import"),
        (("data", "check", "--symbol", "NOSUCH"), "NOSUCH"),
        (("decisions", "--session", "2024-07-01", "--hash"), "not on record"),
        (("orders", "--session", "2024-07-01"), "not on record"),
        (("watchlist", "--as-of", "03:00"), "the first is"),
        (("watchlist", "--as-of", "2024-07-01T10:00"), "is not on"),
        (("data", "check", "--from", "2025-06-10"), "data import"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_mistake_is_told_with_what_and_what_to_do(
    traded_home: TradedHome, command: Sequence[str], words: str
) -> None:
    said = on(traded_home, *command)

    assert said.code == 1, said
    assert said.err.startswith("error: ")
    assert words in " ".join(said.err.split())


@pytest.mark.parametrize("command", [("funnel",), ("watchlist",), ("report",), ("orders",)], ids=" ".join)
def test_an_empty_home_says_what_to_try_first(tmp_path: Path, command: Sequence[str]) -> None:
    assert "Try: trading-pipeline demo" in refused(*command, home=tmp_path)


def test_a_wrong_setting_is_told_before_anything_happens(tmp_path: Path) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text("execution:\n  acount: X\n", encoding="utf-8")

    said = refused("demo", "--profile", profile, home=tmp_path / "home")

    assert "execution.acount (p.yaml:2)" in said
    assert not (tmp_path / "home").exists()


def bars_file(folder: Path, *rows: str, header: str = "symbol,start,open,high,low,close,volume") -> Path:
    path = folder / "bars.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


GOOD = "XYZ,2025-06-10 09:30,10,11,9,10.5,1000"


def test_impossible_rows_are_set_aside_with_reason_and_count(tmp_path: Path) -> None:
    rows = (
        GOOD, GOOD, "XYZ,2025-06-10 09:35,nan,11,9,10,1", "XYZ,2025-06-10 09:40,0,11,9,10,1",
        "XYZ,2025-06-10 09:45,-1,11,9,10,1", "XYZ,2025-06-10 03:00,10,11,9,10,1",
    )  # fmt: skip
    said = run("data", "import", bars_file(tmp_path, *rows), "--timeframe", "5min", "--json", home=tmp_path / "h")

    (report,) = said.json().values()
    assert (report["delivered"], report["good"], report["duplicates_collapsed"]) == (6, 1, 1)
    assert report["quarantined"] == sum(report["reasons"].values()) == 4
    assert Path(report["quarantine_file"]).exists()


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    file, home = bars_file(tmp_path, GOOD), tmp_path / "h"
    run("data", "import", file, "--timeframe", "5min", home=home)

    (report,) = run("data", "import", file, "--timeframe", "5min", "--json", home=home).json().values()

    assert (report["new"], report["corrected"], report["unchanged"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, (), "bars.csv"),
        ("", (), "bars.csv"),
        ("symbol,start,open\nXYZ,2025-06-10 09:30,1\n", (), "high"),
        ("symbol,start,open,high,low,close,volume\n", (), "bars.csv"),
        (f"symbol,start,open,high,low,close,volume\n{GOOD}\n", ("--column", "open=first"), "first"),
        (f"symbol,start,open,high,low,close,volume\n{GOOD}\n", ("--column", "opening"), "write ours=theirs"),
        (f"symbol,start,open,high,low,close,volume\n{GOOD}\n", ("--timezone", "Mars/Olympus"), "Mars/Olympus"),
        (f"symbol,start,open,high,low,close,volume\n{GOOD}\n", ("--adjusted-through", "soon"), "'soon' is not a date"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_fix(
    tmp_path: Path, content: str | None, options: Sequence[str], words: str
) -> None:
    file = tmp_path / "bars.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    assert words in refused("data", "import", file, "--timeframe", "5min", *options, home=tmp_path / "h")


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    file.write_bytes(b"PAR1 this is not it")

    assert "bars.parquet" in refused("data", "import", file, "--timeframe", "5min", home=tmp_path / "h")


def test_a_demo_does_not_mix_with_other_bars(tmp_path: Path) -> None:
    run("data", "import", bars_file(tmp_path, GOOD), "--timeframe", "5min", home=tmp_path / "h")

    assert "bars that are not the demo's" in refused("demo", home=tmp_path / "h")


def test_a_second_demo_at_the_same_time_is_refused(traded_home: TradedHome, tmp_path: Path) -> None:
    from trading_pipeline.wiring import open_workspace

    with open_workspace(tmp_path / "h").exclusive("demo"):
        assert "another process is busy with demo" in refused("demo", home=tmp_path / "h")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EFBIG, "too large"), (errno.EROFS, "--home")]
)
def test_what_the_disk_refuses_is_told_in_words(capsys: pytest.CaptureFixture[str], number: int, words: str) -> None:
    assert _out_of_luck(OSError(number, "nope", "ledger.sqlite3")) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://127.0.0.1:1", "https://127.0.0.1:1/"])
def test_a_venue_that_does_not_answer_is_told_before_anything_is_begun(tmp_path: Path, url: str) -> None:
    said = refused("session", "run", "--session", "2025-06-10", "--venue-url", url, home=tmp_path)

    assert f"no venue answers at '{url}': nothing was begun" in said
    assert "trading-pipeline venue serve" in said


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = refused("venue", "serve", "--port", port, home=tmp_path)

    assert f"port {port} of 127.0.0.1 cannot be had (Address already in use)" in said


def test_a_session_of_another_day_is_not_run_on_the_clock(tmp_path: Path) -> None:
    said = refused("session", "run", "--session", "2025-06-10", home=tmp_path)

    assert "ession 2025-06-10 runs from 2025-06-10 13:30 to 20:00 UTC, and it is 20" in said
    assert "--accelerated" in said
    assert run("status", "--json", home=tmp_path).json()["sessions_run"] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{bad", "is no fault script: the script: Invalid JSON"),
        ('{"no_such_key": 1}', "is no fault script: no_such_key: Extra inputs are not permitted"),
        (None, "No such file or directory. Check the path"),
    ],
)
def test_a_broken_fault_script_is_told_in_one_line(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "faults.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    said = refused("venue", "serve", "--faults", path, home=tmp_path)

    assert words in said
    assert "pydantic" not in said
