"""What carries the outbox on, off the trading path: workers in threads of their own, each under its own lease.

A worker that hangs keeps nobody else waiting, and loses its lease; what it writes afterwards is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from typing import Protocol

from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import LeaseHeld, LeaseLost, LedgerError, TradingPipelineError
from trading_pipeline.ports import Clock, Ledger
from trading_pipeline.services.lease import HeldLease

log = logging.getLogger(__name__)
LEASE = LeaseRules(lease_seconds=15, renew_seconds=3.0, margin_seconds=1.0, hang_seconds=120.0)
SHORTEST_WAIT, LONGEST_WAIT = 0.5, 30.0
SIGN_SECONDS = 1.0
PASS_SECONDS = 20.0
"""How long a single pass may take before it leaves the rest to the next."""


class Worker(Protocol):
    """One part of the relay. Made anew each time its lease is taken, with a ledger fenced by it."""

    @property
    def name(self) -> str:
        """Its lease's name too: `audit`, `alerts`."""

    def step(self) -> timedelta:
        """Do what is due, in bounded time, and return how long until it wants to be called again.

        It is called again at once where that is zero, and always from the same thread. What it raises of the project's
        errors is said once and tried again with growing waits; LeaseLost makes the relay begin a new worker.
        """

    def end(self) -> None:
        """The last thing of a clean end: after the last step, while the lease is still held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A worker's place in the relay: the name of its lease, and what makes the worker once the lease is held."""

    name: str
    begin: Callable[[Lease], Worker]


@dataclass(slots=True)
class Relay:
    """The workers of this process. holder: who holds their leases; ask `end` to stop, from any thread."""

    posts: Sequence[Post]
    ledger: Ledger
    clock: Clock
    holder: str
    rules: LeaseRules = LEASE
    _ending: Event = field(default_factory=Event)

    def run(self, is_asked: Callable[[], bool]) -> None:
        """Work until asked to end; then each worker ends, and the leases are given back. An error that is none of this
        project's ends them all, and is raised."""
        with ThreadPoolExecutor(len(self.posts), thread_name_prefix="relay") as threads:
            working = [threads.submit(self._keep, post) for post in self.posts]
            while not is_asked() and not any(one.done() for one in working):
                if self._ending.wait(0.1):
                    break
            self._ending.set()
        for one in working:
            one.result()

    def run_once(self) -> dict[str, str]:
        """One pass of each worker, bounded in time: what went wrong, by name; "" where all went well.

        What another relay leads is left to it, which is well too.
        """
        return {post.name: self._pass(post) for post in self.posts}

    def end(self) -> None:
        """Stop, please."""
        self._ending.set()

    def _keep(self, post: Post) -> None:
        """Lead the post whenever nobody else does, until asked to end."""
        troubles = Troubles(post.name)
        while not self._ending.is_set():
            try:
                self._lead(post, troubles)
            except LeaseHeld as held:
                troubles.say_once(held, logging.INFO)
                self._ending.wait(self.rules.renew_seconds)
            except TradingPipelineError as error:  # the lease was lost, the ledger is away, or nothing can be begun
                self._ending.wait(troubles.met(error))

    def _lead(self, post: Post, troubles: Troubles) -> None:
        with Leading(self, post) as held:
            worker = post.begin(held.lease)
            while not self._ending.is_set():
                held.require()
                held.give_sign()
                self._rest(held, self._stepped(worker, troubles))
            self._ended(worker)

    def _stepped(self, worker: Worker, troubles: Troubles) -> float:
        try:
            wait = worker.step()
        except LeaseLost:
            raise
        except TradingPipelineError as error:
            return troubles.met(error)
        troubles.over()
        return wait.total_seconds()

    def _rest(self, held: HeldLease, seconds: float) -> None:
        """Wait, giving signs of life: a worker that rests does not hang."""
        left = seconds
        while left > 0 and not self._ending.wait(min(left, SIGN_SECONDS)):
            left -= SIGN_SECONDS
            held.give_sign()

    @staticmethod
    def _ended(worker: Worker) -> None:
        try:
            worker.end()
        except TradingPipelineError as error:
            log.warning("%s did not end cleanly: %s", worker.name, error)

    def _pass(self, post: Post) -> str:
        try:
            with Leading(self, post) as held:
                worker, until = post.begin(held.lease), self.clock.now() + timedelta(seconds=PASS_SECONDS)
                while not worker.step() and self.clock.now() < until:
                    held.require()
                    held.give_sign()
                worker.end()
        except LeaseHeld as held:
            log.info("%s: %s", post.name, held)
        except TradingPipelineError as error:
            log.warning("%s: %s", post.name, error)
            return str(error)
        return ""


class Leading:
    """Holds a post's lease while its block runs, renewed by a thread of its own. Raises LeaseHeld."""

    def __init__(self, relay: Relay, post: Post) -> None:
        self._relay, self._post = relay, post

    def __enter__(self) -> HeldLease:
        relay, name = self._relay, self._post.name
        with relay.ledger.transaction() as tx:
            lease = tx.take_lease(name, relay.holder, relay.clock.now(), relay.rules.lease_seconds)
            held = tx.lease(name)
        if lease is None:
            who = f"{held.holder}, until {held.expires_at:%H:%M:%S} UTC at least" if held else "somebody"
            raise LeaseHeld(f"{name} is led by {who}: a relay runs already, and only one does this.")
        log.info("%s leads %s (token %d)", lease.holder, name, lease.token)
        self._held = HeldLease(relay.ledger, relay.clock, relay.rules, lease)
        self._keeper = Thread(target=self._held.keep, name=f"lease-{name}", daemon=True)
        self._keeper.start()
        return self._held

    def __exit__(self, *_: object) -> None:
        with suppress(LedgerError):  # it expires by itself
            self._held.release()
        self._keeper.join(timeout=self._relay.rules.renew_seconds + 1)


@dataclass(slots=True)
class Troubles:
    """What a worker fails with, said once as long as it stays the same, and how long to wait before the next try."""

    name: str
    said: str = ""
    wait: float = SHORTEST_WAIT

    def met(self, error: TradingPipelineError) -> float:
        """Say it unless it was said; seconds to wait, longer each time."""
        self.say_once(error, logging.ERROR)
        wait, self.wait = self.wait, min(self.wait * 2, LONGEST_WAIT)
        return wait

    def say_once(self, error: TradingPipelineError, level: int) -> None:
        """A line of the log, unless it is the one before."""
        if str(error) != self.said:
            log.log(level, "%s: %s", self.name, error)
            self.said = str(error)

    def over(self) -> None:
        """It works again."""
        if self.wait != SHORTEST_WAIT:
            log.info("%s works again", self.name)
        self.said, self.wait = "", SHORTEST_WAIT
