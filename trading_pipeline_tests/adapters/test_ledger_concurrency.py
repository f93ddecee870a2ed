"""Many at once: one wins, nobody reads what another is about to change, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TypeVar

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import LedgerConflict
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT, NOW, SESSION

Result = TypeVar("Result")

CLAIMER = """
import sys
from trading_pipeline.adapters.ledger import SqlLedger

ledger, owner = SqlLedger(sys.argv[1]), sys.argv[2]
print(owner, "ready", flush=True)
sys.stdin.readline()
for number in range(25):
    with ledger.transaction() as tx:
        if tx.claim_order(f"order-{number}", owner, 1):
            print(number)
"""


def all_at_once(work: Callable[[int], Result], count: int) -> list[Result]:
    barrier = Barrier(count)

    def run(number: int) -> Result:
        barrier.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_processes_that_claim_the_same_orders_each_order_has_one_owner(ledger: SqlLedger, url: str) -> None:
    with ledger.transaction() as tx:
        samples.record_decision(tx)
        samples.record_orders(tx, *(f"order-{number}" for number in range(25)))

    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, url, f"owner-{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(2)
    ]  # fmt: skip
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline().endswith("ready\n")
    claimed = [claimer.communicate("go\n", timeout=60)[0].split() for claimer in claimers]

    assert sorted(int(number) for numbers in claimed for number in numbers) == list(range(25))


def test_of_many_who_take_a_lease_exactly_one_has_it(ledger: SqlLedger, url: str) -> None:
    ledgers = [SqlLedger(url) for _ in range(4)]

    for session in range(5):  # each time free: first never taken, then expired
        at = NOW.replace(hour=session)

        def take(number: int) -> int | None:
            with ledgers[number].transaction() as tx:
                lease = tx.take_lease("leader", f"holder-{number}", at, 10)  # noqa: B023
            return lease.token if lease else None

        tokens = all_at_once(take, len(ledgers))
        assert [token for token in tokens if token is not None] == [session + 1]
    for one in ledgers:
        one.close()


def test_decisions_are_made_one_after_the_other(url: str, ledger: SqlLedger) -> None:
    """Each reads how many intents there are and adds one when there are fewer than three."""
    with ledger.transaction() as tx:
        samples.record_causes(tx, 3)
    ledgers = [SqlLedger(url) for _ in range(6)]

    def decide(number: int) -> bool:
        with ledgers[number].transaction() as tx:
            if len(tx.intents(ACCOUNT, SESSION)) >= 3:
                return False
            return tx.add_intent(replace(samples.INTENT, intent_id=f"intent-{number}", symbol=f"S{number}"))

    assert sorted(all_at_once(decide, len(ledgers))) == [False] * 3 + [True] * 3
    for one in ledgers:
        one.close()


def test_of_two_who_enter_one_symbol_the_second_is_refused(url: str, ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_decision(tx)

    def enter(number: int) -> bool:
        own = SqlLedger(url)
        try:
            with own.transaction() as tx:
                return tx.add_order(replace(samples.ORDER, client_order_id=f"entry-{number}"))
        except LedgerConflict:
            return False
        finally:
            own.close()

    assert sorted(all_at_once(enter, 4)) == [False] * 3 + [True]
