"""Processes around one audit log: producers that write its outbox, and relays that number it."""

from __future__ import annotations

from pathlib import Path
from random import Random

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.adapters.stop_signals import stop_signals
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.control import Lease
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import Sequencer
from trading_pipeline.services.relay import Post, Relay
from trading_pipeline_tests.audit_worlds import ACCOUNT, LOG_ID, AuditWorld, entry

LEASE = LeaseRules(lease_seconds=2, renew_seconds=0.3, margin_seconds=0.3, hang_seconds=30)
RULES = AuditRules(checkpoint_entries=50, batch_entries=20, poll_seconds=0.05)


class Undone(Exception):
    """A transaction that is not to be kept."""


def produce(url: str, name: str, transactions: int) -> None:
    """Write so many transactions of one to three entries; one in five is undone."""
    ledger, chance = SqlLedger(url, lock_wait_seconds=60), Random(name)
    for number in range(transactions):
        try:
            with ledger.transaction() as tx:
                for part in range(chance.randint(1, 3)):
                    tx.add_audit(entry(f"{name}-{number}-{part}"))
                if chance.random() < 0.2:
                    raise Undone  # noqa: TRY301  it undoes the block
        except Undone:
            continue
    ledger.close()


def relay_until_asked(url: str, folder: Path, holder: str) -> None:
    """Number and sign until SIGTERM."""
    ledger = SqlLedger(url, lock_wait_seconds=60)
    world = AuditWorld(ledger, folder)

    def begin(lease: Lease) -> Sequencer:
        desk = AuditDesk(
            ledger=ledger.fenced(lease), keys=world.keys, verify=world.desk.verify, anchors=world.anchors,
            clock=SystemClock(), account=ACCOUNT, session_of=lambda instant: instant.date(),
        )  # fmt: skip
        return Sequencer(desk, RULES, lambda: LOG_ID)

    relay = Relay([Post(name="audit", begin=begin)], ledger, SystemClock(), holder, LEASE)
    with stop_signals() as asked:
        relay.run(asked)
    ledger.close()
