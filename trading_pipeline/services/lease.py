"""One leader at a time: holding the lease of an account, saying so, and knowing when it may be over.

Everything here runs on the real clock, whatever clock the session runs on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread

from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import LeaseHeld, LeaseLost, LedgerError
from trading_pipeline.ports import Clock, Ledger

log = logging.getLogger(__name__)
BETWEEN_TRIES = timedelta(milliseconds=100)


def lease_name(account: str) -> str:
    """The lease of an account's session loop."""
    return f"session-loop-{account}"


@dataclass(slots=True)
class HeldLease:
    """A lease in hand. Only `require` tells whether it may still be acted on."""

    ledger: Ledger
    clock: Clock
    rules: LeaseRules
    lease: Lease
    on_hang: Callable[[], None] = lambda: None
    """Called once, from the keeper's thread, when the leader hung until its lease was over."""
    _ended: Event = field(default_factory=Event)
    _signs: int = 0

    @property
    def holder(self) -> str:
        """Who holds it: this process."""
        return self.lease.holder

    @property
    def token(self) -> int:
        """The fencing token: whoever comes later has a higher one."""
        return self.lease.token

    def require(self) -> None:
        """Return when the lease is certainly held, by its own deadline less a margin; else raise LeaseLost.

        Nothing is asked of anybody: between this and what it guards there is no wait.
        """
        ends_at = self.lease.expires_at - timedelta(seconds=self.rules.margin_seconds)
        if self._ended.is_set() or self.clock.now() >= ends_at:
            raise self._lost()

    def give_sign(self) -> None:
        """The leader lives: its loop got here. Without signs the lease is not renewed."""
        self._signs += 1

    def renew(self) -> None:
        """Prolong it; raises LeaseLost when it has expired or somebody took over."""
        with self.ledger.transaction() as tx:
            renewed = tx.renew_lease(self.lease, self.clock.now(), self.rules.lease_seconds)
        if renewed is None:
            self._ended.set()
            raise self._lost()
        self.lease = renewed

    def release(self) -> None:
        """End it now, so that the next leader need not wait; a lease that is another's by now stays as it is."""
        self._ended.set()
        with self.ledger.transaction() as tx:
            tx.release_lease(self.lease, self.clock.now())

    def keep(self) -> None:
        """Renew in time until it is released or lost, as long as its leader gives signs of life.

        A ledger that cannot be written is tried again: the deadline decides.
        """
        seen, quiet = self._signs, 0.0
        while not self._ended.wait(self.rules.renew_seconds):
            seen, quiet = self._signs, 0.0 if self._signs != seen else quiet + self.rules.renew_seconds
            if quiet < self.rules.hang_seconds:
                self._try_to_renew()
            elif self.clock.now() >= self.lease.expires_at:
                self._end_hung(quiet)
            else:
                log.error(
                    "%s gave no sign of life for %.0f s: its lease %s is not renewed any more",
                    self.holder, quiet, self.lease.name,
                )  # fmt: skip

    def _try_to_renew(self) -> None:
        try:
            self.renew()
        except LeaseLost as lost:
            log.warning("%s", lost)
        except LedgerError as error:
            log.warning("the lease %s could not be renewed: %s", self.lease.name, error)

    def _end_hung(self, quiet: float) -> None:
        """Nobody may take it for the leader again, should it wake."""
        log.critical("%s hung for %.0f s and leads %s no more", self.holder, quiet, self.lease.name)
        self._ended.set()
        self.on_hang()

    def _lost(self) -> LeaseLost:
        lease = self.lease
        return LeaseLost(
            f"{lease.holder} no longer leads {lease.name} (token {lease.token}, held until {lease.expires_at:%H:%M:%S} "
            f"UTC): nothing more is sent or recorded by this process. Stops stay at the venue. See who leads: "
            f"trading-pipeline status"
        )


def acquire(
    ledger: Ledger, clock: Clock, rules: LeaseRules, account: str, holder: str, *, patience_seconds: float | None = None
) -> HeldLease:
    """Take the account's lease, waiting for a dead leader's to expire (default: one lease and a second).

    Raises LeaseHeld, which names the holder, when it is still held then.
    """
    patience = rules.lease_seconds + 1 if patience_seconds is None else patience_seconds
    give_up_at = clock.now() + timedelta(seconds=patience)
    while True:
        now = clock.now()
        with ledger.transaction() as tx:
            lease = tx.take_lease(lease_name(account), holder, now, rules.lease_seconds)
            held = tx.lease(lease_name(account))
        if lease is not None:
            return HeldLease(ledger, clock, rules, lease)
        if now >= give_up_at:
            raise _held_by(account, held)
        clock.sleep_until(_next_try(now, give_up_at, held))


def _next_try(now: datetime, give_up_at: datetime, held: Lease | None) -> datetime:
    """When the lease may be free: its expiry, but soon enough to see a release, and not after patience has ended."""
    expiry = held.expires_at if held else now
    return min(max(expiry, now + timedelta(milliseconds=1)), now + BETWEEN_TRIES, max(give_up_at, now + BETWEEN_TRIES))


def _held_by(account: str, held: Lease | None) -> LeaseHeld:
    who = f"{held.holder} (until {held.expires_at:%H:%M:%S} UTC, token {held.token})" if held else "somebody"
    return LeaseHeld(
        f"account {account} is led by {who}, and only one session loop leads. It is alive: wait for it to end or stop "
        f"it, then run the command again."
    )


@contextmanager
def leading(
    ledger: Ledger, clock: Clock, rules: LeaseRules, account: str, holder: str, *,
    patience_seconds: float | None = None, on_hang: Callable[[], None] = lambda: None,
) -> Iterator[HeldLease]:  # fmt: skip
    """Lead while the block runs and gives signs of life: acquired, renewed by a thread of its own, released at the end.

    on_hang: called from that thread when the block hung until the lease was over.
    """
    held = acquire(ledger, clock, rules, account, holder, patience_seconds=patience_seconds)
    held.on_hang = on_hang
    keeper = Thread(target=held.keep, name=f"lease-{account}", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        _let_go(held)
        keeper.join(timeout=rules.renew_seconds + 1)


def _let_go(held: HeldLease) -> None:
    """A lease that cannot be released expires by itself: that must not hide why the block ended."""
    try:
        held.release()
    except LedgerError as error:
        log.warning("the lease %s was not released (%s): it expires by itself", held.lease.name, error)


def fenced(ledger: Ledger, lease: HeldLease | None) -> Ledger:
    """The ledger as a leader may write it; as it is where nobody leads."""
    return ledger.fenced(lease.lease) if lease else ledger
