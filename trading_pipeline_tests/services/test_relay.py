"""The relay: each worker under its own lease, none in the way of another, and none in two processes at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import AuditError, LedgerUnavailable, TradingPipelineError
from trading_pipeline.services.relay import Post, Relay, Troubles

RULES = LeaseRules(lease_seconds=2, renew_seconds=0.2, margin_seconds=0.2, hang_seconds=1.0)
SOON = timedelta(milliseconds=10)


@dataclass(slots=True)
class Scripted:
    """A worker that does as it is told, step by step, and then nothing."""

    name: str
    acts: list[Callable[[], None]] = field(default_factory=list)
    steps: int = 0
    begun: list[Lease] = field(default_factory=list)
    ended: int = 0

    def begin(self, lease: Lease) -> Scripted:
        self.begun.append(lease)
        return self

    def step(self) -> timedelta:
        self.steps += 1
        if self.acts:
            self.acts.pop(0)()
        return SOON

    def end(self) -> None:
        self.ended += 1

    @property
    def post(self) -> Post:
        return Post(name=self.name, begin=self.begin)


@dataclass(slots=True)
class Running:
    """A relay in a thread."""

    relay: Relay
    thread: Thread

    def end(self) -> None:
        self.relay.end()
        self.thread.join(10)
        assert not self.thread.is_alive()


Start = Callable[..., Running]


@pytest.fixture
def start(ledger: SqlLedger) -> Iterator[Start]:
    made = list[Running]()

    def begin(*workers: Scripted, holder: str = "here") -> Running:
        relay = Relay([one.post for one in workers], ledger, SystemClock(), holder, RULES)
        running = Running(relay, Thread(target=relay.run, args=(lambda: False,), daemon=True))
        running.thread.start()
        made.append(running)
        return running

    yield begin
    for one in made:
        one.relay.end()
        one.thread.join(10)


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    give_up = monotonic() + seconds
    while not is_so():
        assert monotonic() < give_up, "it never came to that"
        sleep(0.01)


def raising(error: TradingPipelineError) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def _waited(wake: Event) -> None:
    wake.wait(20)


def lease_of(ledger: SqlLedger, name: str) -> Lease:
    with ledger.read() as tx:
        lease = tx.lease(name)
    assert lease is not None
    return lease


def test_a_worker_steps_until_it_is_asked_to_end_and_gives_its_lease_back(ledger: SqlLedger, start: Start) -> None:
    worker = Scripted("audit")
    running = start(worker)
    until(lambda: worker.steps > 3)

    running.end()

    assert worker.ended == 1
    assert not lease_of(ledger, "audit").is_live(SystemClock().now())


def test_a_worker_that_hangs_keeps_nobody_waiting_and_loses_its_lease(ledger: SqlLedger, start: Start) -> None:
    wake = Event()
    hung, well = Scripted("alerts", [lambda: _waited(wake)]), Scripted("audit")
    start(hung, well)
    until(lambda: well.steps > 20)
    assert hung.steps == 1

    until(lambda: not lease_of(ledger, "alerts").is_live(SystemClock().now()))
    assert lease_of(ledger, "audit").is_live(SystemClock().now())
    wake.set()

    until(lambda: len(hung.begun) == 2)  # it begins anew, under a lease of its own again
    assert hung.begun[1].token > hung.begun[0].token


def test_what_a_worker_fails_with_is_said_once_and_tried_again(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    worker = Scripted("audit", [raising(AuditError("the disk is full"))] * 2)

    with caplog.at_level(logging.INFO):
        start(worker)
        until(lambda: worker.steps > 4)

    assert [one.message for one in caplog.records].count("audit: the disk is full") == 1
    assert "audit works again" in caplog.text
    assert len(worker.begun) == 1


def test_a_ledger_that_is_away_ends_nothing(ledger: SqlLedger, start: Start) -> None:
    worker = Scripted("audit", [raising(LedgerUnavailable("the ledger cannot be reached"))])

    start(worker)

    until(lambda: worker.steps > 3)


def test_a_worker_that_cannot_be_begun_is_tried_again_and_keeps_nobody_waiting(ledger: SqlLedger, start: Start) -> None:
    class Unready(Scripted):
        def begin(self, lease: Lease) -> Scripted:
            Scripted.begin(self, lease)
            if len(self.begun) == 1:
                raise AuditError("its settings are wrong")
            return self

    unready, well = Unready("alerts"), Scripted("audit")
    start(unready, well)

    until(lambda: well.steps > 3 and unready.steps > 3)


def test_waits_grow_with_each_failure_and_start_anew_after_a_success() -> None:
    troubles = Troubles("audit")

    waits = [troubles.met(AuditError("no")) for _ in range(9)]
    troubles.over()

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert troubles.met(AuditError("no")) == 0.5


def test_a_second_relay_waits_and_takes_over_when_the_first_ends(ledger: SqlLedger, start: Start) -> None:
    first, second = Scripted("audit"), Scripted("audit")
    leading = start(first)
    until(lambda: first.steps > 0)
    start(second, holder="there")
    sleep(0.5)
    assert second.steps == 0

    leading.end()

    until(lambda: second.steps > 0)
    assert lease_of(ledger, "audit").holder == "there"


def test_a_single_pass_leaves_to_another_relay_what_that_leads(ledger: SqlLedger, start: Start) -> None:
    busy, idle = Scripted("audit"), Scripted("alerts")
    start(busy)
    until(lambda: busy.steps > 0)
    mine = Scripted("audit")

    became = Relay([mine.post, idle.post], ledger, SystemClock(), "once", RULES).run_once()

    assert became == {"audit": "", "alerts": ""}
    assert (mine.steps, idle.steps, idle.ended) == (0, 1, 1)


def test_a_single_pass_tells_what_it_failed_with(ledger: SqlLedger) -> None:
    worker = Scripted("audit", [raising(AuditError("the disk is full"))])

    became = Relay([worker.post], ledger, SystemClock(), "once", RULES).run_once()

    assert became == {"audit": "the disk is full"}
    assert not lease_of(ledger, "audit").is_live(SystemClock().now())


def test_an_error_that_nobody_expects_ends_the_whole_relay(ledger: SqlLedger) -> None:
    def break_down() -> None:
        raise ZeroDivisionError

    other = Scripted("alerts")
    relay = Relay([Scripted("audit", [break_down]).post, other.post], ledger, SystemClock(), "here", RULES)

    with pytest.raises(ZeroDivisionError):
        relay.run(lambda: False)

    assert other.ended <= 1
