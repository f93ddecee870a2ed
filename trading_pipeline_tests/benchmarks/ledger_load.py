"""What the submission protocol writes into the ledger, beside a bare driver that commits as often and as much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.trading_session import Intent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.local_reports import LOCAL
from trading_pipeline_tests.adapters import ledger_samples as samples

OWNER, FENCE = "loop", 1
INTENTS = 10
"""Of one execution: as many as it may enter."""
Statement = tuple[str, Any, bool]
WRITING = ("INSERT", "UPDATE", "DELETE")


def prepared(url: str) -> SqlLedger:
    """A ledger with a plan and a decision that any number of intents may name."""
    ledger = SqlLedger.open(url)
    prepare(ledger)
    return ledger


def prepare(ledger: SqlLedger) -> None:
    """Record the plan and the decision."""
    with ledger.transaction() as tx:
        samples.record_causes(tx, 3)


def cause(number: int) -> tuple[Intent, tuple[Order, Order, Order]]:
    """An intent with its entry, stop and target, all new."""
    symbol = f"S{number:07d}"
    intent = replace(samples.INTENT, intent_id=f"intent-{number}", symbol=symbol)
    entry = replace(
        samples.ORDER, client_order_id=f"order-{number}", intent_id=intent.intent_id, symbol=symbol,
        created_at=samples.NOW + timedelta(milliseconds=number),
    )  # fmt: skip
    leg = replace(entry, side=Side.SELL, parent_id=entry.client_order_id, limit_price=None, expires_at=None)
    stop = replace(
        leg, client_order_id=f"stop-{number}", leg=Leg.STOP, order_type=OrderType.STOP, stop_price=samples.PLAN.stop
    )
    target = replace(leg, client_order_id=f"target-{number}", leg=Leg.TARGET, limit_price=samples.PLAN.target)
    return intent, (entry, stop, target)


def one_execution(ledger: SqlLedger, number: int) -> None:
    """The writes of ten intents in the protocol's three commits, as the services share them.

    All intents with their orders; all claims; what the venue answered to each, as a report and as the order's state.
    """
    causes = [cause(number * INTENTS + one) for one in range(INTENTS)]
    with ledger.transaction() as tx:
        for intent, orders in causes:
            tx.add_intent(intent)
            for order in orders:
                tx.add_order(order)
    entries = [replace(orders[0], submitted_at=samples.NOW) for _, orders in causes]
    with ledger.transaction() as tx:
        for entry in entries:
            tx.claim_order(entry.client_order_id, OWNER, FENCE)
            tx.save_order(entry)
    with ledger.transaction() as tx:
        for entry in entries:
            acknowledge(tx, entry)


def acknowledge(tx: LedgerTransaction, entry: Order) -> None:
    """The venue took it: a report, and the order's state."""
    name, venue_order_id = entry.client_order_id, f"v-{entry.client_order_id}"
    tx.add_report(
        LOCAL,
        ExecutionReport(
            exec_id=f"{name}-New", client_order_id=name, venue_order_id=venue_order_id, exec_type=ExecType.NEW,
            occurred_at=samples.NOW,
        ),
    )  # fmt: skip
    tx.save_order(replace(entry, status=OrdStatus.NEW, venue_order_id=venue_order_id))


@contextmanager
def bare_commits(ledger: SqlLedger, sizes: Sequence[int]) -> Iterator[Callable[[], None]]:
    """The database's own bound: the driver alone, under the ledger's own settings, makes a durable commit of one row
    of each of these sizes (bytes)."""
    rows = ["x" * size for size in sizes]
    is_sqlite = ledger._engine.dialect.name == "sqlite"
    with closing(ledger._engine.raw_connection()) as driver, closing(driver.cursor()) as cursor:
        cursor.execute("CREATE TABLE bound (row_text TEXT)")
        driver.commit()
        insert = f"INSERT INTO bound VALUES ({'?' if is_sqlite else '%s'})"  # noqa: S608  nothing of a stranger's

        def commit_all() -> None:
            for row in rows:
                if is_sqlite:
                    cursor.execute("BEGIN IMMEDIATE")
                cursor.execute(insert, (row,))
                driver.commit()

        yield commit_all


def durable(transactions: Sequence[list[Statement]]) -> list[list[Statement]]:
    """The writing statements of those transactions that change anything: a commit of nothing costs no disk."""
    changes = [[one for one in sent if one[0].lstrip().upper().startswith(WRITING)] for sent in transactions]
    return [sent for sent in changes if sent]


def bytes_of(transactions: Sequence[list[Statement]]) -> list[int]:
    """How much each transaction that changes anything gives to the database to keep."""
    return [sum(len(str(parameters)) for _, parameters, _ in sent) for sent in durable(transactions)]


def recorded_statements(engine: Engine, work: Callable[[], None]) -> list[list[Statement]]:
    """What the work sends to the driver, transaction by transaction."""
    found: list[list[Statement]] = [[]]

    def note(*sent: Any) -> None:
        _, _, sql, parameters, _, is_many = sent
        found[-1].append((sql, parameters, is_many))

    def commit(_: object) -> None:
        found.append([])

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "commit", commit)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "commit", commit)
    return found[:-1]


@contextmanager
def bare_driver(engine: Engine) -> Iterator[Callable[[list[list[Statement]]], None]]:
    """Sends recorded transactions as they are, on a connection with the ledger's own settings."""
    with closing(engine.raw_connection()) as driver, closing(driver.cursor()) as cursor:

        def send(transactions: list[list[Statement]]) -> None:
            for transaction in transactions:
                for sql, parameters, is_many in transaction:
                    (cursor.executemany if is_many and isinstance(parameters, list) else cursor.execute)(
                        sql, parameters
                    )
                    if cursor.description is not None:
                        cursor.fetchall()
                driver.commit()

        yield send
