"""A closed position as a trade: what it earned, in money and in initial R, and what it cost.

Trades are appended and never changed. When a bust, a correction or a late fill changes a round trip that is on record,
a further row `<trade_id>~2`, `~3` … holds only the difference, so that sums over rows always equal sums over fills.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.fold import standing
from trading_pipeline.domain.money import ZERO, average_price, plain, to_ratio
from trading_pipeline.domain.orders import EXTERNAL, Fill, Side
from trading_pipeline.domain.positions import ExitReason, Position, Trade
from trading_pipeline.domain.setups import Setup, TradePlan

_AMENDED = re.compile(r"~\d+$")


def close_trade(
    position: Position,
    fills: Sequence[Fill],
    *,
    plan: TradePlan | None,
    setup: Setup | None,
    exit_reason: ExitReason,
    strategy: str = EXTERNAL,
    expected_px: Mapping[str, Decimal] | None = None,
) -> Trade:
    """The trade a closed position was, keyed by its trade id (E-28).

    position: as folded from `fills`, which are all of this round trip, both sides, reversals included, and from its
    splits. plan, setup: None for what was not decided here; `strategy` names whose it was then. Money in USD, prices
    in USD per share, shares in units of the end. net = gross − commissions (E-30); r_multiple = net / (risk to the
    *initial* stop × quantity), so a moved stop changes nothing (E-5, E-6); None without an initial stop. The risk is
    counted from the average entry, as trailing and positions count it; filled at or below the stop, the plan's
    counts. slippage_usd: positive when buys were worse than the plan's entry, and each sale than the price expected of
    it: expected_px by exec_id, USD per share; a sale without one slipped by nothing. It is inside gross already.
    mae/mfe from the marks and the fills. Raises TradingError when the fills do not close the position.
    """
    held = standing(fills)
    bought_usd, sold_usd = _value(held, Side.BUY), _value(held, Side.SELL)
    if not held or position.is_open or position.bought_qty != position.sold_qty or position.bought_qty <= 0:
        raise TradingError(
            f"trade {position.trade_id} of {position.symbol} is not closed: {plain(position.bought_qty)} shares "
            f"bought, {plain(position.sold_qty)} sold in {len(fills)} fills, {plain(position.quantity)} held. Pass all "
            "fills of the round trip."
        )
    entry_px = average_price(bought_usd, position.bought_qty)
    exit_px = average_price(sold_usd, position.sold_qty)
    gross = sold_usd - bought_usd
    net = gross - position.commission_usd
    risk = _risk_per_share(position, plan, entry_px)
    adverse, favourable = _excursions(position, held, bought_usd, (entry_px, exit_px))
    return Trade(
        trade_id=position.trade_id,
        account=position.account,
        symbol=position.symbol,
        session=max(fill.session for fill in fills),
        entry_at=min(fill.executed_at for fill in held),
        exit_at=max(fill.executed_at for fill in held),
        quantity=position.bought_qty,
        entry_px=entry_px,
        exit_px=exit_px,
        initial_stop=_initial_stop(position, plan),
        target=position.target if position.target is not None else plan.target if plan else None,
        gross_usd=gross,
        commission_usd=position.commission_usd,
        slippage_usd=_slippage(plan, held, expected_px or {}),
        net_usd=net,
        return_fraction=to_ratio(net / bought_usd),
        r_multiple=to_ratio(net / (risk * position.bought_qty)) if risk else None,
        mae_usd=adverse,
        mfe_usd=favourable,
        exit_reason=exit_reason,
        **_origin(plan, setup, strategy),
    )


def _origin(plan: TradePlan | None, setup: Setup | None, strategy: str) -> dict[str, Any]:
    """What the trade was decided on; empty where others decided."""
    return {
        "strategy": plan.strategy if plan else strategy,
        "score": setup.score if setup else None,
        "state": setup.state if setup else "",
        "grade": setup.grade if setup else "",
        "entry_reason": plan.entry_reason if plan else "",
        "snapshot_id": plan.snapshot_id if plan else None,
        "setup_id": plan.setup_id if plan else None,
    }


def _value(fills: Sequence[Fill], side: Side) -> Decimal:
    """USD paid or received."""
    of_side = (fill for fill in fills if fill.side is side)
    return sum(((-1 if f.is_reversal else 1) * f.quantity * f.price for f in of_side), ZERO)


def _excursions(
    position: Position, fills: Sequence[Fill], bought_usd: Decimal, prices: Sequence[Decimal]
) -> tuple[Decimal, Decimal]:
    """Worst and best open P&L (USD) of the full quantity: adverse ≤ 0 ≤ favourable. Fills before a split do not say."""
    is_whole = sum((fill.quantity for fill in fills if fill.side is Side.BUY), ZERO) == position.bought_qty
    seen = [fill.price for fill in fills] if is_whole else list(prices)
    seen += [level for level in (position.low_mark, position.high_mark) if level is not None]
    worst = min(seen) * position.bought_qty - bought_usd
    best = max(seen) * position.bought_qty - bought_usd
    return min(ZERO, worst), max(ZERO, best)


def _initial_stop(position: Position, plan: TradePlan | None) -> Decimal | None:
    return plan.stop if position.initial_stop is None and plan else position.initial_stop


def _risk_per_share(position: Position, plan: TradePlan | None, entry_px: Decimal) -> Decimal | None:
    stop = _initial_stop(position, plan)
    if stop is None:
        return None
    if entry_px > stop:
        return entry_px - stop
    return plan.risk_per_share if plan else None


def _slippage(plan: TradePlan | None, fills: Sequence[Fill], expected_px: Mapping[str, Decimal]) -> Decimal:
    paid = sum((f.quantity * (f.price - plan.entry) for f in fills if f.side is Side.BUY), ZERO) if plan else ZERO
    sales = (fill for fill in fills if fill.side is Side.SELL and fill.exec_id in expected_px)
    return paid + sum((f.quantity * (expected_px[f.exec_id] - f.price) for f in sales), ZERO)


# amendments

_MONEY = ("quantity", "gross_usd", "commission_usd")
_SUMMED = (*_MONEY, "slippage_usd", "net_usd", "return_fraction")


def round_trip_id(trade_id: str) -> str:
    """The trade that a row is about: itself, or the one it amends."""
    return _AMENDED.sub("", trade_id)


def amendment(recorded: Sequence[Trade], now: Trade | None, session: date) -> Trade | None:
    """The row that makes the rows on record add up to what the round trip is `now`; None when they do already.

    recorded: the rows of one round trip, oldest first, at least one. now: None when it is open again, or was undone:
    then the rows add up to nothing. Excursions stay as they were told first. session: the one in which the change was
    heard of, whose result it is.
    """
    wanted = _undone(recorded[0]) if now is None else now
    missing: dict[str, Any] = {name: getattr(wanted, name) - _sum(recorded, name) for name in _SUMMED}
    if not any(missing[name] for name in _MONEY):
        return None
    return replace(
        recorded[-1] if now is None else now,
        trade_id=f"{recorded[0].trade_id}~{len(recorded) + 1}",
        session=session,
        mae_usd=ZERO,
        mfe_usd=ZERO,
        r_multiple=_r_missing(recorded, wanted),
        **missing,
    )


def _undone(trade: Trade) -> Trade:
    nothing: dict[str, Any] = dict.fromkeys(_SUMMED, ZERO)
    return replace(trade, r_multiple=None, **nothing)


def _sum(rows: Iterable[Trade], name: str) -> Decimal:
    return sum((getattr(row, name) for row in rows), ZERO)


def _r_missing(recorded: Sequence[Trade], wanted: Trade) -> Decimal | None:
    known = [row.r_multiple for row in recorded if row.r_multiple is not None]
    if wanted.r_multiple is None and not known:
        return None
    return (wanted.r_multiple or ZERO) - sum(known, ZERO)


def whole_trades(rows: Iterable[Trade]) -> list[Trade]:
    """One trade per round trip, amendments added to the row they amend; in the order of those rows.

    An amendment whose trade is not among the rows, and a round trip that was undone or is open again, is left out: it
    is money, and no trade (add up the rows themselves for money).
    """
    of_trip: dict[str, list[Trade]] = {}
    for row in rows:
        of_trip.setdefault(round_trip_id(row.trade_id), []).append(row)
    merged = (_merged(trade_id, some) for trade_id, some in of_trip.items())
    return [trade for trade in merged if trade is not None and trade.quantity > 0]


def _merged(trade_id: str, rows: Sequence[Trade]) -> Trade | None:
    if all(row.trade_id != trade_id for row in rows):
        return None
    if len(rows) == 1:
        return rows[0]
    last = max(rows, key=lambda row: (len(row.trade_id), row.trade_id))
    known = [row.r_multiple for row in rows if row.r_multiple is not None]
    sums: dict[str, Any] = {name: _sum(rows, name) for name in (*_SUMMED, "mae_usd", "mfe_usd")}
    return replace(last, trade_id=trade_id, r_multiple=sum(known, ZERO) if known else None, **sums)
