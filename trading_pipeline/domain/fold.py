"""Positions as a fold over fills and splits: average cost, realised P&L, commissions. Nothing else changes a quantity.

Conserved exactly, whatever happens: realised P&L − cost of what is held = the cash of the fills (commissions apart).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import groupby

from trading_pipeline.domain.corporate import Split
from trading_pipeline.domain.errors import PositionWouldCrossZero, TradingError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import QUANTUM, ZERO, average_price, cost_of, tick_size
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline.domain.positions import Position

MARK_QUANTUM = Decimal("1e-8")
SHARE_QUANTUM = Decimal("0.0001")
"""Shares are counted to four digits: a stored ratio of 1/3 still makes 100 shares of 300."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A position and the fills it consists of, by time; what was taken back is not among them."""

    position: Position
    fills: tuple[Fill, ...]


def fold(fills: Iterable[Fill], splits: Iterable[Split] = ()) -> dict[str, Position]:
    """Positions by symbol after the fills of one account: the open round trip, else the last one (quantity 0).

    A pure function of the sets: neither is the order important in which they are given, nor whether a bust came before
    or after other fills (see `standing`). Raises as `apply_fill` does.
    """
    return {trip.position.symbol: trip.position for trip in round_trips(fills, splits)}


def round_trips(fills: Iterable[Fill], splits: Iterable[Split] = ()) -> tuple[RoundTrip, ...]:
    """Every round trip by symbol, in the order in which they were last traded; an open one is its symbol's last.

    Fills are taken by time of execution; of one instant, by the venue's numbering, where a sale waits until what it
    sells was bought. A split comes before the fills of its instant. A purchase by the order that named an earlier
    round trip continues that one.
    """
    of_symbol: dict[str, list[Fill]] = {}
    for fill in fills:
        of_symbol.setdefault(fill.symbol, []).append(fill)
    known = sorted(splits, key=lambda split: split.effective_at)
    return tuple(
        trip
        for symbol, some in sorted(of_symbol.items())
        for trip in _trips(some, [split for split in known if split.symbol == symbol])
    )


def _trips(fills: Sequence[Fill], splits: Sequence[Split]) -> Iterable[RoundTrip]:
    trips: dict[str, RoundTrip] = {}
    held, to_come = None, list(splits)
    for at, some in groupby(standing(fills), key=lambda fill: fill.executed_at):
        while to_come and to_come[0].effective_at <= at:
            held = _split(trips, held, to_come.pop(0))
        for fill in _of_one_instant(list(some), held.quantity if held else ZERO):
            held = _put(trips, apply_fill(_trip_of(trips, held, fill), fill), fill)
    for split in to_come:
        held = _split(trips, held, split)
    return trips.values()


def _split(trips: dict[str, RoundTrip], held: Position | None, split: Split) -> Position | None:
    return None if held is None else _put(trips, apply_split(held, split))


def _put(trips: dict[str, RoundTrip], held: Position, *fills: Fill) -> Position:
    """Keep it as the one that was last traded."""
    before = trips.pop(held.trade_id, None)
    trips[held.trade_id] = RoundTrip(held, (*(before.fills if before else ()), *fills))
    return held


def _of_one_instant(fills: Sequence[Fill], owned: Decimal) -> list[Fill]:
    """In the venue's numbering; a sale waits until what it sells is there."""
    taken: list[Fill] = []
    waiting = list(fills)
    while waiting:
        fill = next((f for f in waiting if f.side is Side.BUY or f.quantity <= owned), waiting[0])
        owned += fill.quantity if fill.side is Side.BUY else -fill.quantity
        waiting.remove(fill)
        taken.append(fill)
    return taken


def _trip_of(trips: dict[str, RoundTrip], held: Position | None, fill: Fill) -> Position | None:
    is_held = held is not None and held.is_open
    if is_held or fill.side is Side.SELL:
        return held
    known = trips.get(fill.client_order_id)
    return known.position if known else None


def standing(fills: Iterable[Fill]) -> list[Fill]:
    """The fills that were not taken back: a reversal and the fill it undoes cancel out, wherever they stand.

    A reversal carries order, side, instant, shares, price and commission of its fill; one without such a fill stays.
    """
    rows = sorted(fills, key=_key)
    reversed_ = Counter(_terms(fill) for fill in rows if fill.is_reversal)
    booked = Counter(_terms(fill) for fill in rows if not fill.is_reversal)
    undone, undoing = Counter(reversed_ & booked), Counter(reversed_ & booked)
    return [fill for fill in rows if not _taken(undoing if fill.is_reversal else undone, _terms(fill))]


def _terms(fill: Fill) -> tuple[object, ...]:
    return (fill.client_order_id, fill.side, fill.executed_at, fill.quantity, fill.price, fill.commission)


def _taken(counts: Counter[tuple[object, ...]], terms: tuple[object, ...]) -> bool:
    counts[terms] -= 1
    return counts[terms] >= 0


def _key(fill: Fill) -> tuple[datetime, int, str]:
    return (fill.executed_at, len(fill.exec_id), fill.exec_id)


def apply_split(position: Position, split: Split) -> Position:
    """The position in the units after a split; pure, and a closed one or another symbol's is left as it is.

    Shares times ratio, levels and marks divided by it; stop, initial stop and target are rounded down to the tick.
    What is left of a share counts as sold for nothing: its cost is realised here as a loss, and the cash in lieu, a
    cash activity of its own, makes up for it. Cost and cash are conserved exactly.
    Raises TradingError for a ratio that is no number above zero.
    """
    if not split.ratio.is_finite() or split.ratio <= 0:
        raise TradingError(f"{split.symbol} cannot be split by {split.ratio}: give new shares per old share, above 0.")
    if not position.is_open or position.symbol != split.symbol:
        return position
    exact = _shares(position.quantity, split.ratio)
    whole = exact.to_integral_value(ROUND_DOWN)
    cost = cost_of(position.quantity, position.avg_px)
    lost = cost if not whole else (cost * (exact - whole) / exact).quantize(QUANTUM)
    bought = _shares(position.bought_qty, split.ratio)
    return replace(
        _at_new_levels(position, split.ratio),
        quantity=whole,
        avg_px=average_price(cost - lost, whole) if whole else position.avg_px / split.ratio,
        bought_qty=bought,
        sold_qty=bought - whole,
        realized_usd=position.realized_usd - lost,
    )


def _shares(shares: Decimal, ratio: Decimal) -> Decimal:
    return (shares * ratio).quantize(SHARE_QUANTUM)


def _at_new_levels(position: Position, ratio: Decimal) -> Position:
    return replace(
        position,
        mark=_divided(position.mark, ratio),
        high_mark=_divided(position.high_mark, ratio),
        low_mark=_divided(position.low_mark, ratio),
        initial_stop=_on_tick(_divided(position.initial_stop, ratio)),
        stop=_on_tick(_divided(position.stop, ratio)),
        target=_on_tick(_divided(position.target, ratio)),
    )


def _divided(price: Decimal | None, ratio: Decimal) -> Decimal | None:
    """Marks are kept to the ledger's eight decimals."""
    return None if price is None else (price / ratio).quantize(MARK_QUANTUM)


def _on_tick(price: Decimal | None) -> Decimal | None:
    """Rounded down, and never to nothing: the smallest tick is a price."""
    if price is None:
        return None
    tick = tick_size(price)
    return max(tick, (price / tick).to_integral_value(ROUND_DOWN) * tick)


def apply_fill(position: Position | None, fill: Fill) -> Position:
    """The position after one fill; pure. A buy after the position was closed opens a new one, with a new trade id,
    unless it is by the order that opened it: that continues it.

    Average cost: buys add their cost, sells take out the average and realise the difference; commissions are kept
    apart (USD). A reversal (bust) undoes a fill and gives its commission back.
    Raises PositionWouldCrossZero when more is sold than owned, TradingError for another account's or symbol's fill.
    """
    if position is not None and (position.account, position.symbol) != (fill.account, fill.symbol):
        raise TradingError(
            f"fill {fill.exec_id} of {fill.account}/{fill.symbol} cannot change the position {position.account}/"
            f"{position.symbol}: fold each account's fills apart"
        )
    held = _opened_by(fill) if position is None or _opens(position, fill) else position
    sign = -1 if fill.is_reversal else 1
    change = _bought if fill.side is Side.BUY else _sold
    changed = change(held, sign * fill.quantity, fill)
    return replace(changed, commission_usd=held.commission_usd + sign * fill.commission)


def _opens(position: Position, fill: Fill) -> bool:
    is_purchase = fill.side is Side.BUY and not fill.is_reversal
    return not position.is_open and is_purchase and fill.client_order_id != position.trade_id


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
