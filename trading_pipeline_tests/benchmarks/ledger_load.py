"""How fast the ledger takes what the submission protocol writes, beside a bare driver that does the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
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
    with ledger.transaction() as tx:
        samples.record_causes(tx, 3)
    return ledger


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


def rounds_per_second(ledger: SqlLedger, rounds: int, first: int = 0) -> float:
    """Protocol rounds per second, one after the other."""
    one_round(ledger, first)  # statements are compiled once
    started = time.perf_counter()
    for number in range(first + 1, first + 1 + rounds):
        one_round(ledger, number)
    return rounds / (time.perf_counter() - started)


def intents_per_second(ledger: SqlLedger, intents: int, per_decision: int, first: int = 0) -> float:
    """Intents with their orders per second, `per_decision` of them in each transaction (one snapshot decided)."""
    one_round(ledger, first)
    started = time.perf_counter()
    for begin in range(first + 1, first + 1 + intents, per_decision):
        with ledger.transaction() as tx:
            for number in range(begin, begin + per_decision):
                intent, order = cause(number)
                tx.add_intent(intent)
                tx.add_order(order)
    return intents / (time.perf_counter() - started)


def commits_per_second(ledger: SqlLedger, commits: int) -> float:
    """The database's own bound: one small row and one durable commit after the other, by the driver alone."""
    with closing(ledger._engine.raw_connection()) as driver, closing(driver.cursor()) as cursor:
        is_sqlite = ledger._engine.dialect.name == "sqlite"
        cursor.execute("CREATE TABLE bound (number INTEGER)")
        driver.commit()
        started = time.perf_counter()
        for number in range(commits):
            if is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(f"INSERT INTO bound VALUES ({number})")  # noqa: S608  a number of ours
            driver.commit()
        return commits / (time.perf_counter() - started)


def times_the_bare_driver(ledger: SqlLedger, bare: SqlLedger, rounds: int) -> float:
    """Time of protocol rounds over that of the driver alone sending the same statements with the same values.

    Two ledgers of the same database, both `prepared`; a round of each in turn, so that both meet the same disk.
    """
    one_round(ledger, 0)
    one_round(bare, 0)
    ours = theirs = 0.0
    for number in range(1, rounds + 1):
        started = time.perf_counter()
        one_round(ledger, number)
        ours += time.perf_counter() - started
        statements = recorded_statements(ledger._engine, partial(one_round, ledger, rounds + number))
        theirs += _send(bare._engine, statements)
    return ours / theirs


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


def _send(engine: Engine, transactions: list[list[Statement]]) -> float:
    """Seconds the driver takes for these transactions."""
    with closing(engine.raw_connection()) as driver, closing(driver.cursor()) as cursor:
        started = time.perf_counter()
        for transaction in transactions:
            for sql, parameters, is_many in transaction:
                (cursor.executemany if is_many and isinstance(parameters, list) else cursor.execute)(sql, parameters)
                if cursor.description is not None:
                    cursor.fetchall()
            driver.commit()
        return time.perf_counter() - started
