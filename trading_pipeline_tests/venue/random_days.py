"""Random days at the venue: submissions, replaces, cancels, bars and closes, played on any venue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import BracketRequest, OrderRequest, OrderType, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import SESSION, a_bar, a_bracket, an_order, at


@dataclass(frozen=True)
class Submit:
    request: OrderRequest | BracketRequest
    seconds: int


@dataclass(frozen=True)
class Change:
    """Replace (a price), or cancel (None), the order of that name."""

    name: str
    price: int | None


@dataclass(frozen=True)
class Bars:
    bars: tuple[MarketBar, ...]


@dataclass(frozen=True)
class Close:
    times: SessionTimes


Step = Submit | Change | Bars | Close
prices = st.integers(min_value=90, max_value=110)
symbols = st.sampled_from(["AAA", "BBB"])
quantities = st.sampled_from([1, 70, 100, 900])
lives = st.sampled_from([TimeInForce.DAY, TimeInForce.GTC])


@st.composite
def requests(draw: st.DrawFn, number: int) -> OrderRequest | BracketRequest:
    name, symbol, quantity = f"o{number}", draw(symbols), draw(quantities)
    if draw(st.booleans()):
        stop, entry, target = sorted(draw(st.lists(prices, min_size=3, max_size=3, unique=True)))
        return a_bracket(
            name, entry=entry, stop=stop, target=target, quantity=quantity, legs=draw(lives), symbol=symbol
        )
    order_type = draw(st.sampled_from(OrderType))
    return an_order(
        name,
        draw(st.sampled_from(Side)),
        order_type,
        quantity=quantity,
        limit=draw(prices) if "LIMIT" in order_type else None,
        stop=draw(prices) if "STOP" in order_type else None,
        time_in_force=draw(lives),
        symbol=symbol,
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
def days(draw: st.DrawFn) -> list[Step]:
    """Up to 14 minutes; before each minute's bars anything may be asked, at its start or in its middle."""
    steps: list[Step] = []
    number = 0
    for minute in range(draw(st.integers(min_value=2, max_value=14))):
        for _ in range(draw(st.integers(min_value=0, max_value=2))):
            if number and draw(st.booleans()):
                chosen, leg = (
                    draw(st.integers(min_value=0, max_value=number - 1)),
                    draw(st.sampled_from(["-e", "-s", "-t"])),
                )
                name = draw(st.sampled_from([f"o{chosen}", f"o{chosen}{leg}"]))
                steps.append(Change(name, draw(st.none() | prices)))
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
    elif step.price is None:
        venue.cancel(step.name, now)
    else:
        order = venue.order(step.name)
        has_stop = order is not None and order.stop_price is not None
        venue.replace(step.name, now, *((Decimal(step.price), None) if has_stop else (None, Decimal(step.price))))
    return now
