"""A closed position as a trade: what it earned, in money and in initial R, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.money import ZERO, average_price, to_ratio
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline.domain.positions import ExitReason, Position, Trade
from trading_pipeline.domain.setups import Setup, TradePlan


@dataclass(frozen=True, slots=True)
class _Flow:
    """All fills of one side: shares and USD, reversals taken back."""

    quantity: Decimal
    value_usd: Decimal

    @property
    def price(self) -> Decimal:
        return average_price(self.value_usd, self.quantity)


def close_trade(
    position: Position,
    fills: Sequence[Fill],
    *,
    plan: TradePlan,
    setup: Setup,
    exit_reason: ExitReason,
    expected_px: Mapping[str, Decimal] | None = None,
) -> Trade:
    """The trade a closed position was, keyed by its trade id (E-28).

    fills: all fills of this round trip, both sides. Money in USD, prices in USD per share. net = gross − commissions
    (E-30); r_multiple = net / (risk to the *initial* stop × quantity), so a moved stop changes nothing (E-5, E-6).
    The risk is counted from the average entry, as trailing and positions count it; filled at or below the stop, the
    plan's counts. slippage_usd: positive when buys were worse than the plan's entry, and each sale than the price
    expected of it: expected_px by exec_id, USD per share; a sale without one slipped by nothing. It is inside gross
    already. mae/mfe from the marks and the fills.
    Raises TradingError when the fills do not close the position.
    """
    bought, sold = _flow(fills, Side.BUY), _flow(fills, Side.SELL)
    if not fills or bought.quantity != sold.quantity or bought.quantity <= 0 or position.is_open:
        raise TradingError(
            f"trade {position.trade_id} of {position.symbol} is not closed: {bought.quantity} shares bought, "
            f"{sold.quantity} sold in {len(fills)} fills, {position.quantity} held. Pass all fills of the round trip."
        )
    gross = sold.value_usd - bought.value_usd
    commission = sum((_sign(fill) * fill.commission for fill in fills), ZERO)
    net = gross - commission
    adverse, favourable = _excursions(position, fills, bought)
    return Trade(
        trade_id=position.trade_id,
        account=position.account,
        strategy=plan.strategy,
        symbol=position.symbol,
        session=max(fill.session for fill in fills),
        entry_at=min(fill.executed_at for fill in fills),
        exit_at=max(fill.executed_at for fill in fills),
        quantity=bought.quantity,
        entry_px=bought.price,
        exit_px=sold.price,
        initial_stop=plan.stop,
        target=plan.target,
        gross_usd=gross,
        commission_usd=commission,
        slippage_usd=_slippage(plan, bought, fills, expected_px or {}),
        net_usd=net,
        return_fraction=to_ratio(net / bought.value_usd),
        r_multiple=to_ratio(net / (_risk_per_share(position, plan, bought) * bought.quantity)),
        mae_usd=adverse,
        mfe_usd=favourable,
        exit_reason=exit_reason,
        score=setup.score,
        state=setup.state,
        grade=setup.grade,
        entry_reason=plan.entry_reason,
        snapshot_id=plan.snapshot_id,
        setup_id=plan.setup_id,
    )


def _sign(fill: Fill) -> int:
    return -1 if fill.is_reversal else 1


def _flow(fills: Sequence[Fill], side: Side) -> _Flow:
    of_side = [fill for fill in fills if fill.side is side]
    return _Flow(
        quantity=sum((_sign(fill) * fill.quantity for fill in of_side), ZERO),
        value_usd=sum((_sign(fill) * fill.quantity * fill.price for fill in of_side), ZERO),
    )


def _excursions(position: Position, fills: Sequence[Fill], bought: _Flow) -> tuple[Decimal, Decimal]:
    """Worst and best open P&L (USD) of the full quantity: adverse ≤ 0 ≤ favourable."""
    seen = [fill.price for fill in fills if not fill.is_reversal]
    seen += [level for level in (position.low_mark, position.high_mark) if level is not None]
    worst = min(seen) * bought.quantity - bought.value_usd
    best = max(seen) * bought.quantity - bought.value_usd
    return min(ZERO, worst), max(ZERO, best)


def _risk_per_share(position: Position, plan: TradePlan, bought: _Flow) -> Decimal:
    stop = plan.stop if position.initial_stop is None else position.initial_stop
    return bought.price - stop if bought.price > stop else plan.risk_per_share


def _slippage(plan: TradePlan, bought: _Flow, fills: Sequence[Fill], expected_px: Mapping[str, Decimal]) -> Decimal:
    entry_cost = bought.value_usd - plan.entry * bought.quantity
    sales = (fill for fill in fills if fill.side is Side.SELL and fill.exec_id in expected_px)
    return entry_cost + sum((_sign(f) * f.quantity * (expected_px[f.exec_id] - f.price) for f in sales), ZERO)
