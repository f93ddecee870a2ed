"""Short names for what venue tests need: a minute grid, bars on it, orders, and reports as plain tuples."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    ExecutionReport,
    Leg,
    OcoRequest,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
)
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules

OPEN = datetime(2025, 6, 10, 13, 30, tzinfo=UTC)
SESSION = SessionTimes(date(2025, 6, 10), OPEN, OPEN + timedelta(hours=6, minutes=30))
FREE = VenueRules(commission_usd_per_order=Decimal(0), slippage_fraction=Decimal(0))

Price = str | int | Decimal


def at(minute: int) -> datetime:
    """The open plus that many minutes."""
    return OPEN + timedelta(minutes=minute)


def a_bar(
    minute: int,
    opened: Price,
    high: Price,
    low: Price,
    close: Price,
    *,
    symbol: str = "AAA",
    volume: Price = 1_000_000,
) -> MarketBar:
    """The one-minute bar that starts at that minute."""
    return MarketBar(
        symbol=symbol,
        start_at=at(minute),
        end_at=at(minute + 1),
        open=Decimal(opened),
        high=Decimal(high),
        low=Decimal(low),
        close=Decimal(close),
        volume=Decimal(volume),
    )


def flat(minute: int, price: Price, *, symbol: str = "AAA", volume: Price = 1_000_000) -> MarketBar:
    """A bar that trades at one price."""
    return a_bar(minute, price, price, price, price, symbol=symbol, volume=volume)


def an_order(
    client_order_id: str,
    side: Side,
    order_type: OrderType = OrderType.MARKET,
    *,
    quantity: Price = 100,
    limit: Price | None = None,
    stop: Price | None = None,
    leg: Leg = Leg.ENTRY,
    time_in_force: TimeInForce = TimeInForce.DAY,
    symbol: str = "AAA",
    trail: Price | None = None,
) -> OrderRequest:
    return OrderRequest(
        client_order_id=client_order_id,
        symbol=symbol,
        side=side,
        order_type=order_type,
        quantity=Decimal(quantity),
        leg=leg,
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
        time_in_force=time_in_force,
        trail_amount=None if trail is None else Decimal(trail),
    )


def an_oco(
    name: str = "o",
    *,
    stop: Price = 95,
    target: Price = 110,
    quantity: Price = 100,
    life: TimeInForce = TimeInForce.DAY,
    symbol: str = "AAA",
) -> OcoRequest:
    """Ids are the name with -s and -t."""
    return OcoRequest(
        stop=an_order(
            f"{name}-s", Side.SELL, OrderType.STOP, stop=stop, quantity=quantity, leg=Leg.STOP, time_in_force=life,
            symbol=symbol,
        ),
        target=an_order(
            f"{name}-t", Side.SELL, OrderType.LIMIT, limit=target, quantity=quantity, leg=Leg.TARGET,
            time_in_force=life, symbol=symbol,
        ),
    )  # fmt: skip


def a_bracket(
    name: str = "b",
    *,
    entry: Price = 100,
    stop: Price = 95,
    target: Price = 110,
    quantity: Price = 100,
    legs: TimeInForce = TimeInForce.DAY,
    symbol: str = "AAA",
) -> BracketRequest:
    """Ids are the name with -e, -s and -t."""
    sell, day = Side.SELL, TimeInForce.DAY
    return BracketRequest(
        entry=an_order(
            f"{name}-e", Side.BUY, OrderType.LIMIT, limit=entry, quantity=quantity, time_in_force=day, symbol=symbol
        ),
        stop=an_order(
            f"{name}-s", sell, OrderType.STOP, stop=stop, quantity=quantity, leg=Leg.STOP, time_in_force=legs,
            symbol=symbol,
        ),
        target=an_order(
            f"{name}-t", sell, OrderType.LIMIT, limit=target, quantity=quantity, leg=Leg.TARGET, time_in_force=legs,
            symbol=symbol,
        ),
    )  # fmt: skip


def a_venue(rules: VenueRules = FREE) -> SimulatedVenue:
    return SimulatedVenue(None, rules)


def feed(venue: SimulatedVenue, *bars: MarketBar) -> None:
    """Each bar in its own call, as it ends."""
    for bar in bars:
        venue.on_bars([bar], bar.end_at)


def trades(venue: SimulatedVenue) -> list[tuple[str, int, str]]:
    """(order, shares, price) of every fill so far."""
    return [
        (report.client_order_id, int(report.last_qty), plain(report.last_px))
        for report in reports(venue)
        if report.exec_type is ExecType.TRADE
    ]


def said(venue: SimulatedVenue, client_order_id: str) -> list[ExecType]:
    """What was reported about one order."""
    return [report.exec_type for report in reports(venue) if report.client_order_id == client_order_id]


def reports(venue: SimulatedVenue) -> Iterable[ExecutionReport]:
    return venue.execution_reports(datetime.min.replace(tzinfo=UTC))
