"""The kill switch: latch, cancel entries at the venue itself, keep the stops, and close positions when asked to.

It needs neither the ledger nor a session loop. The book is long only, so buys are what grows exposure and sells are
what protects or reduces. Whatever part of it fails, the others go on; nothing is said to be done before the venue
shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from threading import Thread

from trading_pipeline.domain.breaker import Cause, Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import InputError, OrderRefused, OutcomeUnknown, TradingPipelineError
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import Leg, OrderRequest, OrderType, OrdStatus, Side
from trading_pipeline.ports import Broker, ClientIdScope, Clock, VenueOrder, VenuePosition
from trading_pipeline.services.latch import HANDS_OFF, Latch, Latched

log = logging.getLogger(__name__)
LOOK_SECONDS, ASK_AGAIN_SECONDS, RECORD_SECONDS = 0.05, 1.0, 3.0
"""Between two looks at the venue; until a cancel is asked for again; how long the record may take at the end."""
NOT_TOLD = (
    "that positions are to be closed is in no file and not on record: no session loop knows of it. Free the disk and "
    "run the same command again, or close them at the venue's own screen"
)


@dataclass(frozen=True, slots=True)
class Hand:
    """A way to the venue. owner: who alone may change orders there, so that this one looks on; empty: this one may.

    is_open: whether a sale may fill now.
    """

    broker: Broker
    owner: str = ""
    is_open: bool = True

    @property
    def commands(self) -> bool:
        """True when orders may be changed over it."""
        return not self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a kill works with. clock: the machine's; elapsed: seconds, which nobody can set.

    venue: opens the way to it; record: puts the trip on record. Both may raise, and the record may never answer.
    """

    account: str
    session: date
    latch: Latch
    clock: Clock
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]
    venue: Callable[[], AbstractContextManager[Hand]]
    record: Callable[[Trip], None]
    patience_seconds: float = 10.0


@dataclass(slots=True)
class KillReport:
    """What was done. Times are milliseconds since the beginning; None: it did not come to that.

    canceled: entries (with flatten: all orders) that were asked to end, by id; kept: sells that still work; bare: what
    lies under no sell. flat: "" when nothing was to be closed, else flat, queued or open. left_to: who alone may do all
    that, and was told to by the latch; "" where it was done here. still_closing: this one was not to close positions,
    but one before it was, and that stands.
    """

    trip: Trip
    is_latched: bool = False
    is_on_record: bool = False
    is_verified: bool = False
    canceled: dict[str, VenueOrder] = field(default_factory=dict)
    kept: tuple[VenueOrder, ...] = ()
    left: tuple[VenueOrder, ...] = ()
    positions: tuple[VenuePosition, ...] = ()
    sold: list[OrderRequest] = field(default_factory=list)
    flat: str = ""
    left_to: str = ""
    still_closing: bool = False
    latched_ms: float | None = None
    sent_ms: float | None = None
    verified_ms: float | None = None
    flat_ms: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def bare(self) -> tuple[tuple[str, Decimal], ...]:
        """Shares by symbol that no working sell covers."""
        selling = {one.symbol: ZERO for one in self.positions}
        for order in self.kept:
            if order.symbol in selling:
                selling[order.symbol] = max(selling[order.symbol], order.quantity - order.cum_qty)
        return tuple(
            (one.symbol, one.quantity - selling[one.symbol])
            for one in self.positions
            if one.quantity > selling[one.symbol]
        )

    @property
    def is_done(self) -> bool:
        """True when the venue has confirmed everything that was asked for."""
        return self.is_verified and self.flat != "open"


def a_kill(account: str, session: date, *, operator: str, reason: str, flatten: bool, clock: Clock) -> Trip:
    """A person's word that stops everything. Raises InputError without a name or a reason."""
    if not operator.strip() or not reason.strip():
        raise InputError("a kill needs a name and a reason: --operator NAME --reason TEXT")
    cause = Cause(
        trigger=Trigger.KILL, state=TradingState.HALTED, measured="", limit="", words=reason.strip(),
        flattens=flatten,
    )  # fmt: skip
    return Trip(account=account, cause=cause, by=operator.strip(), at=clock.now(), session=session)


def kill(means: Means, trip: Trip) -> KillReport:
    """Latch, then cancel at the venue and verify, while the record is written beside it."""
    done, began = KillReport(trip), means.elapsed()
    latched = _with_what_stands(trip, means.latch.look())
    problem = means.latch.overwrite(latched)
    done.is_latched = means.latch.file_blocks()
    done.latched_ms = _since(means, began)
    done.still_closing = latched.cause.flattens and not trip.cause.flattens
    if problem:
        done.problems.append(problem)
    recording = _Recording(means, trip)
    try:
        with means.venue() as hand:
            _Switch(means, hand, done, began).work()
    except (TradingPipelineError, OSError) as error:
        done.problems.append(f"the venue could not be worked on: {error}")
    done.is_on_record = recording.is_done(done)
    if problem and trip.cause.flattens and not done.is_on_record:
        done.problems.append(NOT_TOLD)
    return done


def _with_what_stands(trip: Trip, before: Latched) -> Trip:
    """A kill takes nothing back: what is to be closed stays so, and so does that a loop lets another kill sell."""
    if before.trip is None or not before.trip.cause.flattens:
        return trip
    return replace(trip, cause=replace(trip.cause, flattens=True), hands_off_until=before.trip.hands_off_until)


def _since(means: Means, began: float) -> float:
    return (means.elapsed() - began) * 1000


class _Recording:
    """Writes the record beside the work: a database that does not answer holds nothing up."""

    def __init__(self, means: Means, trip: Trip) -> None:
        self._means, self._trip = means, trip
        self._problem: str | None = "the database does not answer"
        self._thread = Thread(target=self._write, name="kill-record", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        try:
            self._means.record(self._trip)
        except (TradingPipelineError, OSError) as error:
            self._problem = str(error)
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            raise
        else:
            self._problem = None

    def is_done(self, done: KillReport) -> bool:
        """Wait a little for it; what kept it is added to the problems."""
        self._thread.join(RECORD_SECONDS)
        if self._problem is not None:
            later = " yet, the session loop will see to it" if done.is_latched else ""
            done.problems.append(f"not on record{later}: {self._problem}")
        return self._problem is None


@dataclass(slots=True)
class _Switch:
    """The work at the venue."""

    means: Means
    hand: Hand
    done: KillReport
    began: float
    _asked: dict[str, float] = field(default_factory=dict)
    _tried: dict[str, int] = field(default_factory=dict)
    _doubt: dict[str, OrderRequest] = field(default_factory=dict)

    @property
    def flattens(self) -> bool:
        """True when positions are to be closed."""
        return self.done.trip.cause.flattens

    def work(self) -> None:
        """Cancel and verify, then close; then show what is left."""
        deadline = self.means.elapsed() + self.means.patience_seconds
        self.done.left_to = self.hand.owner
        with self._alone():
            self._until(deadline, self._cancel_step)
            if self.flattens:
                self._close(deadline)
        self._show()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While positions are closed here a loop sends nothing: both would sell the same shares."""
        if not (self.flattens and self.hand.commands):
            yield
            return
        self._keep_off()
        try:
            yield
        finally:
            self.means.latch.overwrite(self.done.trip)

    def _keep_off(self) -> None:
        until = self.means.clock.now() + HANDS_OFF
        self.means.latch.overwrite(replace(self.done.trip, hands_off_until=until))

    def _until(self, deadline: float, step: Callable[[], bool]) -> bool:
        """Repeat a step until it is done or time is up; a venue that does not answer is asked again."""
        while True:
            try:
                if step():
                    return True
            except OutcomeUnknown as silence:
                log.warning("the venue did not answer: %s", silence)
                if str(silence) not in self.done.problems:
                    self.done.problems.append(str(silence))
            if self.means.elapsed() >= deadline:
                return False
            self.means.sleep(LOOK_SECONDS)

    # entries

    def _is_meant(self, order: VenueOrder) -> bool:
        is_ours = order.client_order_id in {one.client_order_id for one in self.done.sold}
        return order.side is Side.BUY or (self.flattens and self.hand.commands and not is_ours)

    def _cancel_step(self) -> bool:
        """Ask for what still works to end; True once the venue shows none of it."""
        meant = [order for order in self.hand.broker.open_orders() if self._is_meant(order)]
        for order in meant:
            self.done.canceled.setdefault(order.client_order_id, order)
            if self.hand.commands:
                self._ask(order)
        self.done.sent_ms = self.done.sent_ms or _since(self.means, self.began)
        self.done.left = tuple(meant)
        if not meant and not self.done.is_verified:
            self.done.is_verified, self.done.verified_ms = True, _since(self.means, self.began)
        return not meant

    def _ask(self, order: VenueOrder) -> None:
        name, now = order.client_order_id, self.means.elapsed()
        if now - self._asked.get(name, now - ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
            return
        if order.status is OrdStatus.PENDING_CANCEL and name in self._asked:
            return
        self._asked[name] = now
        try:
            self.hand.broker.cancel(name)
        except (OrderRefused, OutcomeUnknown) as error:
            log.warning("cancel of %s: %s", name, error)
            words = f"{name} ({order.symbol}): {error}"
            if words not in self.done.problems:
                self.done.problems.append(words)

    # positions

    def _close(self, deadline: float) -> None:
        self.done.flat = "open"
        self._until(deadline, self._close_step)
        if self.done.flat == "flat":
            self.done.flat_ms = _since(self.means, self.began)

    def _close_step(self) -> bool:
        """Sell what the venue itself says is held and nothing sells yet; True once it is flat, or queued."""
        if self.hand.commands:
            self._keep_off()
        self._cancel_step()
        orders, positions = self.hand.broker.open_orders(), self.hand.broker.positions()
        held = [one for one in positions if one.quantity > 0]
        if not held and not orders and not self._doubt:
            self.done.flat = "open" if _short(positions) else "flat"
            return True
        if self.hand.commands and not self.done.left:
            selling = {order.symbol for order in orders if order.side is Side.SELL}
            for position in held:
                if position.symbol not in selling:
                    self._sell(position)
        if not self.hand.is_open and held and self._all_queued(held):
            self.done.flat = "queued"
            return True
        return False

    def _all_queued(self, held: list[VenuePosition]) -> bool:
        orders = self.hand.broker.open_orders()
        selling = {order.symbol for order in orders if order.side is Side.SELL}
        return not self._doubt and all(one.symbol in selling for one in held)

    def _sell(self, position: VenuePosition) -> None:
        now, request = self.means.elapsed(), self._doubt.get(position.symbol)
        if request is not None and self._is_waited_for(request):
            return
        if now - self._asked.get(position.symbol, now - ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
            return
        self._asked[position.symbol] = now
        if request is None:
            self._tried[position.symbol] = self._tried.get(position.symbol, 0) + 1
            request = self._sale(position)
        try:
            self._doubt[position.symbol] = request
            self.hand.broker.submit(request)
        except OrderRefused as refusal:
            self.done.problems.append(f"{request.client_order_id} ({position.symbol}): {refusal}")
        del self._doubt[position.symbol]
        if request not in self.done.sold:
            self.done.sold.append(request)

    def _is_waited_for(self, request: OrderRequest) -> bool:
        """A sale whose answer was lost: found, or never sent twice where the venue would take it twice."""
        if self.hand.broker.order(request.client_order_id) is not None:
            del self._doubt[request.symbol]
            self.done.sold.append(request)
            return True
        return self.hand.broker.capabilities.client_id_scope is not ClientIdScope.FOREVER

    def _sale(self, position: VenuePosition) -> OrderRequest:
        at, tried = self.done.trip.at, self._tried[position.symbol]
        return OrderRequest(
            client_order_id=f"kill-{at:%Y%m%d%H%M%S%f}-{position.symbol[:10]}-{tried}", symbol=position.symbol,
            side=Side.SELL, order_type=OrderType.MARKET, quantity=position.quantity, leg=Leg.EXIT,
        )  # fmt: skip

    def _show(self) -> None:
        try:
            orders = self.hand.broker.open_orders()
            self.done.positions = tuple(self.hand.broker.positions())
        except OutcomeUnknown as silence:
            self.done.problems.append(f"what is left could not be asked: {silence}")
            return
        self.done.kept = tuple(order for order in orders if order.side is Side.SELL)
        self.done.left = tuple(order for order in orders if order.side is Side.BUY)
        if self.done.left:  # one that was on its way when the latch was set has arrived since
            self.done.is_verified = False
        if self.done.flat == "flat" and any(one.quantity for one in self.done.positions):
            self.done.flat = "open"
        if short := _short(self.done.positions):
            names = ", ".join(f"{one.symbol} {plain(one.quantity)}" for one in short)
            self.done.problems.append(f"short positions are not closed here, but at the venue's own screen: {names}")


def _short(positions: Sequence[VenuePosition]) -> list[VenuePosition]:
    return [one for one in positions if one.quantity < 0]
