"""How fast the ledger takes what the submission protocol writes, beside a bare driver that does the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.orders import Order, OrdStatus
from trading_pipeline.domain.trading_session import Intent
from trading_pipeline_tests.adapters import ledger_samples as samples

OWNER, FENCE = "loop", 1
Statement = tuple[str, Any, bool]


def prepared(url: str) -> SqlLedger:
    """A ledger with a plan and a decision that any number of intents may name."""
    ledger = SqlLedger.open(url)
    prepare(ledger)
    return ledger


def prepare(ledger: SqlLedger) -> None:
    """Record the plan and the decision."""
    with ledger.transaction() as tx:
        samples.record_causes(tx, 3)


def cause(number: int) -> tuple[Intent, Order]:
    """An intent and its order, both new."""
    symbol = f"S{number:07d}"
    intent = replace(samples.INTENT, intent_id=f"intent-{number}", symbol=symbol)
    order = replace(
        samples.ORDER, client_order_id=f"order-{number}", intent_id=intent.intent_id, symbol=symbol,
        created_at=samples.NOW + timedelta(milliseconds=number),
    )  # fmt: skip
    return intent, order


def one_round(ledger: SqlLedger, number: int) -> None:
    """The protocol's three commits: intent and order; the claim; what the venue answered."""
    intent, order = cause(number)
    with ledger.transaction() as tx:
        tx.add_intent(intent)
        tx.add_order(order)
    with ledger.transaction() as tx:
        tx.claim_order(order.client_order_id, OWNER, FENCE)
    with ledger.transaction() as tx:
        tx.save_order(replace(order, status=OrdStatus.NEW, venue_order_id=f"v-{number}"))


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


def bytes_of(transactions: list[list[Statement]]) -> list[int]:
    """How much each transaction gives to the database to keep."""
    return [sum(len(str(parameters)) for _, parameters, _ in transaction) for transaction in transactions]


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
