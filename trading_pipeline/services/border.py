"""The border to the venue: every request is paced, and every order is counted right at the socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from trading_pipeline.domain.errors import NotTaken, OutcomeUnknown
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.ports import Broker, Clock
from trading_pipeline.ports.forwarding import ACTS, ForwardingBroker, Op

T = TypeVar("T")
PATIENCE = timedelta(seconds=2)
"""Of a connected venue's questions and entries: the loop has stops to look after."""
SHORTEST_QUIET, LONGEST_QUIET = timedelta(seconds=0.5), timedelta(seconds=60)
"""How long a venue that takes no orders for now is left alone, whatever it says."""
PROTECTION_QUIET = timedelta(seconds=2)
"""The same, at most, of orders that protect."""


class Pacer:
    """Waits, by the desk's clock, until a request keeps within the rates; drops none.

    Reads and entries keep within the part of the minute's requests that is not kept for protection, entries within
    orders per second too; protection (stops, exits, cancels) only within the whole of it, so that it never waits for
    reads or entries. patience: how long either may keep the loop from protecting anything; None: as long as it takes,
    where a clock costs no time.
    """

    def __init__(self, clock: Clock, rules: SubmissionRules, patience: timedelta | None = None) -> None:
        per_minute = rules.venue_requests_per_minute
        unreserved = max(1, int(per_minute * (1 - rules.protective_fraction)))
        self._clock, self._patience = clock, patience
        self._orders = InMemoryBucket([Rate(rules.orders_per_second, Duration.SECOND)])
        self._unreserved = InMemoryBucket([Rate(unreserved, Duration.MINUTE)])
        self._all = InMemoryBucket([Rate(per_minute, Duration.MINUTE)])
        self._seeded = False
        self._quiet_from = self._quiet_until = clock.now()

    def entry(self) -> bool:
        """Wait for an entry's turn. False, having taken none, when that would take too long: it is held."""
        if self._is_late(self._orders, self._unreserved, self._all):
            return False
        self._take(self._orders, self._unreserved, self._all)
        return True

    def read(self) -> None:
        """Wait for the turn of a question. Raises OutcomeUnknown, having asked nothing, when that takes too long."""
        if self._is_late(self._unreserved, self._all):
            raise OutcomeUnknown(
                "the venue was not asked: this minute's requests are used, but for those kept for stops, exits and "
                "cancels (execution.submission.venue_requests_per_minute, protective_fraction). It is asked later"
            )
        self._take(self._unreserved, self._all)

    def protection(self) -> None:
        """Wait for the turn of a stop, an exit or a cancel: only others like it can make it wait."""
        self._take(self._all)
        self._note(self._unreserved)

    def turned_away(self, seconds: float) -> None:
        """The venue takes no orders for so long. Protection tries again sooner: shares lie bare meanwhile."""
        self._quiet_from = self._clock.now()
        self._quiet_until = self._quiet_from + min(max(timedelta(seconds=seconds), SHORTEST_QUIET), LONGEST_QUIET)

    def is_quiet(self, *, for_entries: bool) -> bool:
        """True while the venue is to be left alone: no order leaves."""
        until = self._quiet_until if for_entries else min(self._quiet_until, self._quiet_from + PROTECTION_QUIET)
        return self._clock.now() < until

    def room_for_entries(self) -> int:
        """How many entries may leave now without waiting."""
        return self._room(self._orders, self._unreserved, self._all)

    def room_for_protection(self) -> int:
        """How many stops, exits and cancels may leave now without waiting."""
        return self._room(self._all)

    @property
    def is_seeded(self) -> bool:
        """True once it was told what left before the start."""
        return self._seeded

    def seed(self, left_at: Iterable[datetime]) -> None:
        """Tell once, after a start, when orders left before it: a restart is no way around a rate."""
        if not self._seeded:
            self._seeded = True
            for instant in sorted(left_at):
                item = RateItem("before", _milliseconds(instant))
                for bucket in (self._orders, self._unreserved, self._all):
                    bucket.put(item)

    def _is_late(self, *buckets: InMemoryBucket) -> bool:
        if self._patience is None:
            return False
        return any(timedelta(milliseconds=self._missing(bucket)) > self._patience for bucket in buckets)

    def _missing(self, bucket: InMemoryBucket) -> int:
        """Milliseconds until a full bucket has room."""
        now, rate = self._now().timestamp, bucket.rates[0]
        bucket.leak(now)
        surplus = bucket.count() - rate.limit
        return 0 if surplus < 0 else bucket.items[surplus].timestamp + rate.interval - now

    def _take(self, *buckets: InMemoryBucket) -> None:
        for bucket in buckets:
            while not bucket.put(item := self._now()):
                wait = bucket.waiting(item)
                assert isinstance(wait, int), "a bucket in memory answers at once"
                self._clock.sleep_until(self._clock.now() + timedelta(milliseconds=wait + 1))
            bucket.leak(self._now().timestamp)

    def _room(self, *buckets: InMemoryBucket) -> int:
        for bucket in buckets:
            bucket.leak(self._now().timestamp)
        return min(bucket.rates[0].limit - bucket.count() for bucket in buckets)

    def _note(self, bucket: InMemoryBucket) -> None:
        """Count without waiting."""
        bucket.put(self._now())

    def _now(self) -> RateItem:
        return RateItem("request", _milliseconds(self._clock.now()))


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


class Border(ForwardingBroker):
    """The venue as the desk sees it. Implements Broker.

    A submit is counted, not paced: its turn is taken before the last look at the trading state, and between that look
    and the socket nothing waits. All other requests take their turn here.
    """

    def __init__(self, broker: Broker, pacer: Pacer) -> None:
        super().__init__(broker)
        self.pacer = pacer
        self.left: Counter[str] = Counter()
        """How often each order went out, by id, in this process."""
        self._compared = set[str]()

    def uncompared(self) -> frozenset[str]:
        """Ids that went out and were not yet compared with the claims on record."""
        return frozenset(self.left.keys() - self._compared)

    def compared(self, order_ids: Iterable[str]) -> None:
        """Note that these were compared."""
        self._compared.update(order_ids)

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:
        """Count what is sent; anything else waits for its turn."""
        if op == "submit":
            return self._send(call, client_order_id)
        if op in ACTS:
            self.pacer.protection()
        else:
            self.pacer.read()
        return call()

    def _send(self, call: Callable[[], T], client_order_id: str) -> T:
        self.left[client_order_id] += 1
        try:
            return call()
        except NotTaken as busy:
            self.pacer.turned_away(busy.retry_after_seconds)
            raise


def border(broker: Broker, clock: Clock, rules: SubmissionRules, *, is_live: bool = False) -> Border:
    """A broker behind a border of its own. is_live: its market does not wait for the loop."""
    return Border(broker, Pacer(clock, rules, PATIENCE if is_live else None))
