"""A leader as a process of its own: it leads when it can, and then sends one order after another until told to end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.clock import ReplayClock, SystemClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.errors import LeaseHeld, LeaseLost, LedgerUnavailable
from trading_pipeline.domain.orders import Order, OrdStatus
from trading_pipeline.services.border import border
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.lease import HeldLease, fenced, leading
from trading_pipeline_tests.builders import an_order
from trading_pipeline_tests.services.scripted import minute, rules

BREATH_SECONDS = 0.02
QUICK = LeaseRules(lease_seconds=1, renew_seconds=0.2, margin_seconds=0.2)


def say(text: str) -> None:
    """A line for the test that started this process."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def an_entry(number: int, by: str) -> Order:
    """Buy one share at 1.00, each in a symbol of its own: it rests, and so many fit into the account."""
    return an_order(
        client_order_id=f"{by}-{number}", symbol=f"{by}{number}".upper(), quantity=1, limit_price="1.00",
        intent_id=None, status=OrdStatus.PENDING_NEW, created_at=minute(15), updated_at=minute(15),
    )  # fmt: skip


def lead(url: str, venue_url: str, name: str, end: Path) -> None:
    """Whenever the lease is free take it, and place entries while it is held."""
    ledger, clock, number = SqlLedger(url), SystemClock(), 0
    while not end.exists():
        try:
            with leading(ledger, clock, QUICK, "A", name, patience_seconds=0.3) as lease:
                say(f"leads {lease.token}")
                while not end.exists():
                    number += 1
                    place(ledger, venue_url, lease, number, name)
                    time.sleep(BREATH_SECONDS)
        except (LeaseHeld, LedgerUnavailable):
            continue
        except LeaseLost:
            say("lost")


def place(ledger: SqlLedger, venue_url: str, lease: HeldLease, number: int, name: str) -> None:
    """Write an entry and send it, as a leader does."""
    own, clock = fenced(ledger, lease), ReplayClock(minute(15))
    with own.transaction() as tx:
        tx.add_order(an_entry(number, name))
    broker = border(RemoteBroker(venue_url, clock, fence=lambda: lease.token), clock, rules().submission)
    many = {"max_orders_per_day": 100_000, "max_orders_per_symbol_per_day": 100_000}
    dispatch_due(
        Desk(
            ledger=own, broker=broker, clock=clock, rules=rules(risk=many), lease=lease,
            provenance=Provenance(code_version="1", config_hash="c"),
        )
    )  # fmt: skip


if __name__ == "__main__":
    lead(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
