"""What the submission protocol writes into the ledger, beside a bare driver that commits as often and as much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.trading_session import Intent
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


@dataclass(frozen=True, slots=True)
class Execution:
    """Everything that some intents of one execution put on record, made before it is measured."""

    intents: Sequence[Intent]
    orders: Sequence[Order]
    leaving: Mapping[str, datetime]
    reports: Sequence[ExecutionReport]
    taken: Sequence[Order]


def execution(number: int, intents: int = INTENTS) -> Execution:
    """The records of so many intents: intents with their orders, claims, and what the venue answered to each."""
    causes = [cause(number * INTENTS + one) for one in range(intents)]
    entries = [replace(orders[0], submitted_at=samples.NOW) for _, orders in causes]
    return Execution(
        intents=[intent for intent, _ in causes],
        orders=[order for _, orders in causes for order in orders],
        leaving={entry.client_order_id: samples.NOW for entry in entries},
        reports=[_new(entry) for entry in entries],
        taken=[
            replace(entry, status=OrdStatus.NEW, venue_order_id=f"v-{entry.client_order_id}") for entry in entries
        ],
    )  # fmt: skip


def write(ledger: SqlLedger, made: Execution) -> None:
    """Its writes in the protocol's three commits, as the services make them.

    Intents with their orders; all claims; what the venue answered to each, as a report and as the order's state.
    """
    with ledger.transaction() as tx:
        tx.add_all([*made.intents, *made.orders])
    with ledger.transaction() as tx:
        tx.claim_orders(made.leaving, OWNER, FENCE)
    with ledger.transaction() as tx:
        tx.add_reports(LOCAL, made.reports)
        tx.save_orders(made.taken)


def _new(entry: Order) -> ExecutionReport:
    """The venue took it."""
    name = entry.client_order_id
    return ExecutionReport(
        exec_id=f"{name}-New", client_order_id=name, venue_order_id=f"v-{name}", exec_type=ExecType.NEW,
        occurred_at=samples.NOW,
    )  # fmt: skip


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
                    if is_many and isinstance(parameters, list):
                        engine.dialect.do_executemany(cursor, sql, parameters)  # on PostgreSQL in one message
                    else:
                        cursor.execute(sql, parameters)
                    if cursor.description is not None:
                        cursor.fetchall()
                driver.commit()

        yield send
