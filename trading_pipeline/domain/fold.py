"""Positions as a fold over fills: average cost, realised P&L, commissions. Nothing else changes a quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.errors import PositionWouldCrossZero, TradingError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import QUANTUM, ZERO, average_price, cost_of
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline.domain.positions import Position


def fold(fills: Iterable[Fill]) -> dict[str, Position]:
    """Positions by symbol after the fills of one account, closed ones (quantity 0) included.

    Fills are taken by time of execution; those of one instant in the order given. Raises as `apply_fill` does.
    """
    positions: dict[str, Position] = {}
    for fill in sorted(fills, key=lambda fill: fill.executed_at):
        positions[fill.symbol] = apply_fill(positions.get(fill.symbol), fill)
    return dict(sorted(positions.items()))


def apply_fill(position: Position | None, fill: Fill) -> Position:
    """The position after one fill; pure. A buy after the position was closed opens a new one, with a new trade id.

    Average cost: buys add their cost, sells take out the average and realise the difference; commissions are kept
    apart (USD). A reversal (bust) undoes a fill and gives its commission back.
    Raises PositionWouldCrossZero when more is sold than owned, TradingError for another account's or symbol's fill.
    """
    if position is not None and (position.account, position.symbol) != (fill.account, fill.symbol):
        raise TradingError(
            f"fill {fill.exec_id} of {fill.account}/{fill.symbol} cannot change the position {position.account}/"
            f"{position.symbol}: fold each account's fills apart"
        )
    held = _opened_by(fill) if _opens(position, fill) else position
    assert held is not None
    sign = -1 if fill.is_reversal else 1
    change = _bought if fill.side is Side.BUY else _sold
    changed = change(held, sign * fill.quantity, fill)
    return replace(changed, commission_usd=held.commission_usd + sign * fill.commission)


def _opens(position: Position | None, fill: Fill) -> bool:
    return position is None or (not position.is_open and fill.side is Side.BUY and not fill.is_reversal)


def _opened_by(fill: Fill) -> Position:
    return Position(
        account=fill.account,
        symbol=fill.symbol,
        trade_id=fill.client_order_id,
        quantity=ZERO,
        avg_px=fill.price,
        opened_at=fill.executed_at,
    )


def _bought(held: Position, shares: Decimal, fill: Fill) -> Position:
    """Add a buy; a negative number of shares takes one back at the price it was booked at."""
    cost = cost_of(held.quantity, held.avg_px) + shares * fill.price
    changed = _with_shares(held, held.quantity + shares, cost, fill)
    return replace(changed, bought_qty=held.bought_qty + shares)


def _sold(held: Position, shares: Decimal, fill: Fill) -> Position:
    """Take out a sale at average cost; a negative number of shares returns one at average cost."""
    cost = cost_of(held.quantity, held.avg_px)
    cost_out = cost if shares == held.quantity else (shares * held.avg_px).quantize(QUANTUM)
    changed = _with_shares(held, held.quantity - shares, cost - cost_out, fill)
    return replace(
        changed,
        sold_qty=held.sold_qty + shares,
        realized_usd=changed.realized_usd + shares * fill.price - cost_out,
    )


def _with_shares(held: Position, quantity: Decimal, cost: Decimal, fill: Fill) -> Position:
    """Set quantity and cost; cost left without shares (a busted buy) is realised, so that the cash always adds up."""
    if quantity < 0:
        raise PositionWouldCrossZero(
            f"fill {fill.exec_id} ({fill.side} {fill.quantity} {fill.symbol} at {fill.price}"
            f"{', reversal' if fill.is_reversal else ''}) would leave {quantity} shares of the "
            f"{held.quantity} held. Compare the venue's executions with trading-pipeline positions."
        )
    if quantity == 0:
        return replace(held, quantity=ZERO, realized_usd=held.realized_usd - cost)
    return replace(held, quantity=quantity, avg_px=average_price(cost, quantity))


def mark(position: Position, price: Decimal, at: datetime) -> Position:
    """The position at a new price (USD per share), with its highest and lowest price so far.

    NaN, infinite, zero or negative prices and prices older than the last leave it as it was: the last good price
    stays, and `marked_at` shows its age (E-13). Raises NaiveDatetimeError.
    """
    require_aware(at, "marking instant")
    is_older = position.marked_at is not None and at < position.marked_at
    if not price.is_finite() or price <= 0 or is_older:
        return position
    return replace(
        position,
        mark=price,
        marked_at=at,
        high_mark=price if position.high_mark is None else max(price, position.high_mark),
        low_mark=price if position.low_mark is None else min(price, position.low_mark),
    )


def unrealized_usd(position: Position) -> Decimal:
    """Open P&L (USD) at the last mark, before commissions; zero when never marked. Exact."""
    if position.mark is None:
        return ZERO
    return position.quantity * position.mark - cost_of(position.quantity, position.avg_px)


def open_risk_usd(position: Position) -> Decimal:
    """USD lost if the stop is hit: never below zero (E-8); without a stop the full notional."""
    if position.stop is None:
        return position.quantity * (position.mark if position.mark is not None else position.avg_px)
    return max(ZERO, position.avg_px - position.stop) * position.quantity


def initial_risk_per_share(position: Position) -> Decimal | None:
    """USD per share from average entry to the initial stop; None without one, or when filled at or below it."""
    if position.initial_stop is None or position.initial_stop >= position.avg_px:
        return None
    return position.avg_px - position.initial_stop


def r_now(position: Position, price: Decimal) -> Decimal | None:
    """Gain at `price` in multiples of the initial risk, whatever the stop is now (E-5); None without initial risk."""
    risk = initial_risk_per_share(position)
    if risk is None or not price.is_finite() or price <= 0:
        return None
    return (price - position.avg_px) / risk
