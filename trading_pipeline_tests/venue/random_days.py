"""Random days at the venue: submissions, replaces, cancels, bars and closes, played on any venue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import AnyRequest, OrderRequest, OrderType, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_bracket, an_oco, an_order, at


@dataclass(frozen=True)
class Submit:
    request: AnyRequest
    seconds: int


@dataclass(frozen=True)
class Change:
    """Replace the price or the quantity of the order of that name, or cancel it (neither)."""

    name: str
    price: int | None
    quantity: int | None = None


@dataclass(frozen=True)
class Bars:
    bars: tuple[MarketBar, ...]


@dataclass(frozen=True)
class Close:
    times: SessionTimes


@dataclass(frozen=True)
class Open:
    times: SessionTimes
    splits: Mapping[str, Decimal]
    dividends: Mapping[str, Decimal]


Step = Submit | Change | Bars | Close | Open
prices = st.integers(min_value=90, max_value=110)
symbols = st.sampled_from(["AAA", "BBB"])
quantities = st.sampled_from([1, 70, 100, 900])
lives = st.sampled_from([TimeInForce.DAY, TimeInForce.GTC])
any_life = lives | st.sampled_from(TimeInForce)
ratios = st.sampled_from([Decimal(2), Decimal("1.5"), Decimal("0.1"), Decimal(1) / 3])


@st.composite
def requests(draw: st.DrawFn, number: int) -> AnyRequest:
    name, symbol, quantity = f"o{number}", draw(symbols), draw(quantities)
    kind = draw(st.sampled_from(["order", "order", "bracket", "stopped entry", "oco"]))
    if kind == "order":
        return draw(an_order_of(name, symbol, quantity))
    stop, entry, target = sorted(draw(st.lists(prices, min_size=3, max_size=3, unique=True)))
    if kind == "oco":
        return an_oco(name, stop=stop, target=target, quantity=quantity, life=draw(lives), symbol=symbol)
    whole = a_bracket(name, entry=entry, stop=stop, target=target, quantity=quantity, legs=draw(lives), symbol=symbol)
    return whole if kind == "bracket" else replace(whole, target=None)


@st.composite
def an_order_of(draw: st.DrawFn, name: str, symbol: str, quantity: int) -> OrderRequest:
    order_type = draw(st.sampled_from(OrderType))
    trails = order_type is OrderType.TRAILING_STOP
    return an_order(
        name,
        draw(st.sampled_from(Side)),
        order_type,
        quantity=quantity,
        limit=draw(prices) if "LIMIT" in order_type else None,
        stop=draw(st.none() | prices if trails else prices) if "STOP" in order_type else None,
        trail=draw(st.integers(min_value=1, max_value=9)) if trails else None,
        time_in_force=draw(any_life),
        symbol=symbol,
    )


@st.composite
def an_open(draw: st.DrawFn, minute: int, *, acts: bool) -> Open:
    times = SessionTimes(SESSION.session + timedelta(days=minute), at(minute), at(minute + draw(st.integers(1, 6))))
    if not acts:
        return Open(times, {}, {})
    return Open(times, draw(st.dictionaries(symbols, ratios)), draw(st.dictionaries(symbols, st.just(Decimal("0.37")))))


@st.composite
def a_change(draw: st.DrawFn, number: int) -> Change:
    chosen = draw(st.integers(min_value=0, max_value=number - 1))
    name = f"o{chosen}{draw(st.sampled_from(['', '-e', '-s', '-t']))}"
    what = draw(st.sampled_from(["cancel", "price", "quantity"]))
    return Change(
        name, draw(prices) if what == "price" else None, draw(quantities | prices) if what == "quantity" else None
    )


@st.composite
def a_minute(draw: st.DrawFn, minute: int) -> Bars:
    bars = []
    for symbol in draw(st.sets(symbols)):
        low, first, second, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
        volume = draw(st.sampled_from([0, 9, 700, 100_000]))
        opened, close = draw(st.permutations([first, second]))
        bars.append(a_bar(minute, opened, high, low, close, symbol=symbol, volume=volume))
    return Bars(tuple(sorted(bars, key=lambda bar: bar.symbol)))


@st.composite
def days(draw: st.DrawFn, *, acts: bool = False) -> list[Step]:
    """Up to 14 minutes; before each minute's bars anything may be asked, at its start or in its middle.

    acts: sessions may begin with splits and dividends.
    """
    steps: list[Step] = []
    number = 0
    for minute in range(draw(st.integers(min_value=2, max_value=14))):
        if draw(st.integers(min_value=0, max_value=2)) == 0:
            steps.append(draw(an_open(minute, acts=acts)))
        for _ in range(draw(st.integers(min_value=0, max_value=2))):
            if number and draw(st.booleans()):
                steps.append(draw(a_change(number)))
            else:
                steps.append(Submit(draw(requests(number)), 60 * minute + draw(st.sampled_from([0, 30]))))
                number += 1
        steps.append(draw(a_minute(minute)))
        if draw(st.integers(min_value=0, max_value=9)) == 0:
            steps.append(Close(SessionTimes(SESSION.session, SESSION.opens_at, at(minute + 1))))
    return steps


def play(
    venue: SimulatedVenue, steps: Sequence[Step], after: Callable[[SimulatedVenue], SimulatedVenue] = lambda v: v
) -> SimulatedVenue:
    """Do every step; a refusal is an answer too. `after` each step the venue may be looked at or exchanged."""
    now = at(0)
    for step in steps:
        now = _do(venue, step, now)
        venue = after(venue)
    return venue


def _do(venue: SimulatedVenue, step: Step, now: datetime) -> datetime:
    if isinstance(step, Bars):
        now = max([now, *(bar.end_at for bar in step.bars)])
        venue.on_bars(step.bars, now)
    elif isinstance(step, Close):
        venue.on_session_close(step.times)
    elif isinstance(step, Open):
        venue.on_session_open(step.times, step.splits, step.dividends)
    else:
        try:
            now = _ask(venue, step, now)
        except OrderRefused:
            return now
    return now


def _ask(venue: SimulatedVenue, step: Submit | Change, now: datetime) -> datetime:
    if isinstance(step, Submit):
        now = max(now, at(0) + timedelta(seconds=step.seconds))
        venue.submit(step.request, now)
    elif step.quantity is not None:
        venue.replace(step.name, now, None, None, Decimal(step.quantity))
    elif step.price is None:
        venue.cancel(step.name, now)
    else:
        order = venue.order(step.name)
        has_stop = order is not None and order.stop_price is not None
        venue.replace(step.name, now, *((Decimal(step.price), None) if has_stop else (None, Decimal(step.price))))
    return now
