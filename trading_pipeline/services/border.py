"""The border to the venue: every request is paced, and every order is counted right at the socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, ExecutionReport, OcoRequest, OrderRequest
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.ports import Broker, Clock, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition


class Pacer:
    """Waits, by the desk's clock, until a request keeps within the rates; drops none.

    Entries keep within orders per second and within the part of the minute's requests that is not kept for
    protection; everything else only within the whole of it.
    """

    def __init__(self, clock: Clock, rules: SubmissionRules) -> None:
        per_minute = rules.venue_requests_per_minute
        for_entries = max(1, int(per_minute * (1 - rules.protective_fraction)))
        self._clock = clock
        self._orders = InMemoryBucket([Rate(rules.orders_per_second, Duration.SECOND)])
        self._entries = InMemoryBucket([Rate(for_entries, Duration.MINUTE)])
        self._all = InMemoryBucket([Rate(per_minute, Duration.MINUTE)])
        self._seeded = False

    def entry(self) -> None:
        """Wait for an entry's turn."""
        self._take(self._orders, self._entries, self._all)

    def protection(self) -> None:
        """Wait for the turn of anything else: it never waits for entries' rates."""
        self._take(self._all)
        self._note(self._entries)

    def room_for_entries(self) -> int:
        """How many entries may leave now without waiting."""
        return self._room(self._orders, self._entries, self._all)

    def room_for_protection(self) -> int:
        """How many requests of any other kind may leave now without waiting."""
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
                for bucket in (self._orders, self._entries, self._all):
                    bucket.put(item)

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


def order_id(request: AnyRequest) -> str:
    """The id of what is sent: an order's own, a bracket's entry, an OCO's stop."""
    match request:
        case OrderRequest():
            return request.client_order_id
        case BracketRequest():
            return request.entry.client_order_id
        case OcoRequest():
            return request.stop.client_order_id


@dataclass(slots=True)
class Border:
    """The venue as the desk sees it. Implements Broker.

    A submit is counted, not paced: its turn is taken before the last look at the trading state, and between that look
    and the socket nothing waits. All other requests take their turn here.
    """

    broker: Broker
    pacer: Pacer
    name: str = field(init=False)
    left: Counter[str] = field(default_factory=Counter)
    """How often each order went out, by id, in this process."""
    _compared: set[str] = field(default_factory=set)

    def uncompared(self) -> frozenset[str]:
        """Ids that went out and were not yet compared with the claims on record."""
        return frozenset(self.left.keys() - self._compared)

    def compared(self, order_ids: Iterable[str]) -> None:
        """Note that these were compared."""
        self._compared.update(order_ids)

    def __post_init__(self) -> None:
        self.name = self.broker.name

    @property
    def capabilities(self) -> VenueCapabilities:
        return self.broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        self.left[order_id(request)] += 1
        return self.broker.submit(request)

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self.pacer.protection()
        self.broker.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

    def cancel(self, client_order_id: str) -> None:
        self.pacer.protection()
        self.broker.cancel(client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        self.pacer.protection()
        return self.broker.order(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        self.pacer.protection()
        return self.broker.open_orders()

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        self.pacer.protection()
        return self.broker.execution_reports(since)

    def positions(self) -> Sequence[VenuePosition]:
        self.pacer.protection()
        return self.broker.positions()

    def account(self) -> VenueAccount:
        self.pacer.protection()
        return self.broker.account()

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        self.pacer.protection()
        return self.broker.cash_activities(since)

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self.broker.never_left(client_order_id, created_at)


def border(broker: Broker, clock: Clock, rules: SubmissionRules) -> Border:
    """A broker behind a border of its own."""
    return Border(broker, Pacer(clock, rules))
