"""The audit log: how long an entry takes to get its number, beside a bare durable write of as many bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder, is_signed_by
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import Sequencer
from trading_pipeline_tests.audit_logs import told
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes

LOG_ID = "log-of-benchmarks"
MOST_ROUNDS = 400
RULES = AuditRules(checkpoint_seconds=3600)
"""Checkpoints are measured with the batches, one in five of which makes one."""


def audit_append(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Number single entries, then full batches, on SQLite; each beside one write and fdatasync of the same bytes."""
    rounds_of_one = min(MOST_ROUNDS, sizes.audit_entries // 50)
    home = Path(mkdtemp(prefix="append-", dir=folder))
    with closing(SqlLedger.open(default_url(home))) as ledger:
        sequencer = Sequencer(desk_of(home, ledger), RULES, lambda: LOG_ID)
        for name, entries, rounds in (("one", 1, rounds_of_one), ("batch", RULES.batch_entries, rounds_of_one // 10)):
            for _ in range(rounds):
                append(ledger, sequencer, entries, name, home / "bare", timings)
        sequencer.end()
    timings.counts["batch"] = RULES.batch_entries


def append(
    ledger: SqlLedger, sequencer: Sequencer, entries: int, name: str, bare: Path, timings: Timings
) -> None:  # fmt: skip
    """One round of so many entries; whatever else waits is numbered before."""
    while not sequencer.step():
        pass
    with ledger.transaction() as tx:
        newest = tx.newest_logged()
        for number in range(entries):
            tx.add_audit(told(number + 1))
    with timings.measure(name):
        sequencer.step()
    with ledger.read() as tx:
        made = tx.logged(after=newest.seq if newest else 0, limit=entries)
    write_bare(bare, made, name, timings)


def write_bare(bare: Path, made: Sequence[LoggedEntry], name: str, timings: Timings) -> None:
    """The same bytes at the end of a file, on the disk."""
    text = "\n".join(one.body + one.leaf + one.head for one in made).encode()
    opened = os.open(bare, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with timings.measure(f"{name} bare"):
            os.write(opened, text)
            os.fdatasync(opened)
    finally:
        os.close(opened)


def desk_of(home: Path, ledger: SqlLedger) -> AuditDesk:
    """Keys and anchors beside the ledger."""
    return AuditDesk(
        ledger=ledger, keys=KeyFolder(home / "keys"), verify=is_signed_by,
        anchors=JsonLinesAnchors(home / "anchors.jsonl"), clock=SystemClock(), account="SIM",
        session_of=lambda instant: instant.date(),
    )  # fmt: skip
