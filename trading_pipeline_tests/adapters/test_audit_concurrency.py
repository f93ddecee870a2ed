"""Many producers, and relays that are stopped, killed and woken: every entry is logged once, and nothing forks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline_tests.audit_processes import produce, relay_until_asked
from trading_pipeline_tests.audit_worlds import AuditWorld, require_whole
from trading_pipeline_tests.forked import processes

PRODUCERS = 8


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    give_up = monotonic() + seconds
    while not is_so():
        assert monotonic() < give_up, "it never came to that"
        sleep(0.05)


def started(target: Callable[..., None], *given: object) -> Any:
    process = processes().Process(target=target, args=given)
    process.start()
    return process


def holder_of(ledger: SqlLedger) -> str:
    with ledger.read() as tx:
        lease = tx.lease("audit")
    return lease.holder if lease else ""


def ended(process: Any, how: signal.Signals = signal.SIGTERM) -> None:
    if process.is_alive():
        os.kill(process.pid, how)
    process.join(30)
    assert not process.is_alive()


def frozen(process: Any, *, until_led_by: str, ledger: SqlLedger) -> None:
    """Stop it until another one leads. Stopped inside a write it holds the database's lock: then once more."""
    while holder_of(ledger) != until_led_by:
        os.kill(process.pid, signal.SIGSTOP)
        give_up = monotonic() + 12
        while holder_of(ledger) != until_led_by and monotonic() < give_up:
            sleep(0.02)
        if holder_of(ledger) != until_led_by:
            os.kill(process.pid, signal.SIGCONT)
            sleep(0.2)


def producing(world: AuditWorld, url: str, transactions: int) -> None:
    """Eight write while one relay is frozen, another takes over, and the first wakes up and is refused."""
    first = started(relay_until_asked, url, world.folder, "first")
    until(lambda: holder_of(world.ledger) == "first")
    producers = [started(produce, url, f"p{number}", transactions) for number in range(PRODUCERS - 1)]
    until(lambda: len(world.log()) > 10)
    second = started(relay_until_asked, url, world.folder, "second")
    frozen(first, until_led_by="second", ledger=world.ledger)
    at_wake = len(world.log())
    os.kill(first.pid, signal.SIGCONT)
    producers.append(started(produce, url, "late", transactions))  # on a slow machine the others have ended
    for producer in producers:
        producer.join(120)
        assert producer.exitcode == 0
    until(lambda: len(world.log()) > at_wake)
    until(lambda: waiting(world) == 0)
    ended(second, signal.SIGKILL)
    until(lambda: holder_of(world.ledger) == "first")  # it was woken, and leads again once nobody does
    ended(first)


def waiting(world: AuditWorld) -> int:
    with world.ledger.read() as tx:
        return tx.waiting().entries


@pytest.mark.parametrize("transactions", [15, pytest.param(400, marks=pytest.mark.soak)])
def test_eight_producers_and_two_relays_make_one_chain_that_lacks_nothing(
    ledger: SqlLedger, url: str, tmp_path: Path, transactions: int
) -> None:
    world = AuditWorld(ledger, tmp_path)

    producing(world, url, transactions)

    with ledger.read() as tx:
        told = {number for number, _ in tx.audit_entries(limit=1_000_000)}
    assert {one.outbox_no for one in world.log()} == told
    assert len(told) > transactions * PRODUCERS
    assert list(world.anchors.lines()) == list(world.checkpoints())
    assert world.alerts("audit_mismatch") == []
    require_whole(world)
