"""A sequencer killed at each point, and started again: the log is that of one that lived."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.audit import MODE_CHANGED, ROTATION_ASKED
from trading_pipeline_tests.audit_worlds import AuditWorld, entry, require_whole
from trading_pipeline_tests.crash.sequencing import SequencerRun, sequence
from trading_pipeline_tests.forked import KILLED, processes
from trading_pipeline_tests.postgres import postgres

TOLD = (
    *(entry(f"a{number}") for number in range(4)), entry("mode", MODE_CHANGED), entry("b"),
    entry("key", ROTATION_ASKED), *(entry(f"c{number}") for number in range(4)),
)  # fmt: skip


def told(url: str) -> None:
    ledger = SqlLedger.open(url)
    with ledger.transaction() as tx:
        for one in TOLD:
            tx.add_audit(one)
    ledger.close()


def lived(run: SequencerRun) -> int | None:
    process = processes().Process(target=sequence, args=(run,))
    process.start()
    process.join(60)
    return int(process.exitcode) if process.exitcode is not None else None


def log_of(url: str, folder: Path) -> list[str]:
    """The bodies of a whole log, its checkpoints all anchored."""
    world = AuditWorld(SqlLedger(url), folder)
    require_whole(world)
    assert list(world.anchors.lines()) == list(world.checkpoints())
    assert world.checkpoints()[-1].checkpoint.seq == len(world.log())
    bodies = [one.body for one in world.log() if one.kind != "alert"]  # which names whatever checkpoint was first
    world.ledger.close()
    return bodies


def sweep(tmp_path: Path, url: str, points: range | None) -> None:
    """Kill one at each of these points of a run that lives (None: at all), and let the next one finish."""
    whole = SequencerRun(ledger_url=url, folder=tmp_path / "whole", result=tmp_path / "seen.json")
    told(url)
    assert lived(whole) == 0
    seen, expected = json.loads(whole.result.read_text()), log_of(url, whole.folder)
    assert len(seen) > 25
    for number in points or range(1, len(seen) + 1):
        home = tmp_path / f"killed-{number}"
        home.mkdir()
        again = default_url(home) if url.startswith("sqlite") else postgres().database()
        told(again)
        run = SequencerRun(ledger_url=again, folder=home, result=home / "seen.json", die_at=number)
        assert lived(run) in KILLED, seen[number - 1]
        finish = SequencerRun(ledger_url=again, folder=home, result=home / "seen.json")
        assert lived(finish) == 0, seen[number - 1]

        assert subjects(log_of(again, home)) == subjects(expected), f"killed at {number}: {seen[number - 1]}"
        shutil.rmtree(home)


def subjects(bodies: list[str]) -> list[str]:
    """In the order of the log; the rows that tell of alerts stand between them where they were raised."""
    return [json.loads(body)["subject"] for body in bodies]


def test_a_sequencer_killed_at_some_points_leaves_the_log_of_one_that_lived(tmp_path: Path) -> None:
    sweep(tmp_path, default_url(tmp_path), range(3, 30, 5))


@pytest.mark.soak
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_sequencer_killed_at_each_point_leaves_the_log_of_one_that_lived(tmp_path: Path, database: str) -> None:
    sweep(tmp_path, default_url(tmp_path) if database == "sqlite" else postgres().database(), None)
