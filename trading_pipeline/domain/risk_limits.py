"""The limits every entry is held against, with units in their names."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_D = Decimal


class RiskLimits(BaseModel):
    """Limits on entries; fractions are of equity unless said otherwise. None switches a filter off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_trade_risk_fraction: Decimal = Field(_D("0.01"), gt=0, le=_D("0.01"), description="ceiling: 1 % for anyone")
    max_open_risk_fraction: Decimal = Field(_D("0.03"), gt=0, le=1, description="all positions and working entries")
    max_position_risk_fraction: Decimal = Field(_D("0.05"), gt=0, le=1, description="loss at the stop, per position")
    max_position_notional_fraction: Decimal = Field(_D("0.10"), gt=0, le=1)
    max_order_notional_usd: Decimal = Field(_D(10_000), gt=0)
    max_total_exposure_fraction: Decimal = Field(
        _D("0.80"), gt=0, le=2, description="above 1 only with rebalance.capital_scaling above 1"
    )
    buying_power_multiple: Decimal = Field(
        _D(1), ge=1, le=2, description="of equity; above 1 is borrowed: only with rebalance.capital_scaling above 1"
    )
    buying_power_reserve_fraction: Decimal = Field(
        _D("0.20"), ge=0, lt=1, description="part of equity that stays free as buying power"
    )
    max_open_positions: int = Field(5, ge=1, description="the regime may allow fewer, never more")
    min_reward_risk: Decimal = Field(_D("1.5"), gt=0, description="from the final, rounded prices")
    min_shares: int = Field(1, ge=1)
    min_shares_live_scaled: int = Field(100, ge=1, description="in mode LIVE_SCALED min_shares is at least this")
    min_notional_usd: Decimal = Field(_D(100), ge=0)
    daily_loss_fraction: Decimal = Field(_D("0.02"), gt=0, le=1, description="of the prior close's equity")
    daily_loss_block_share: Decimal = Field(
        _D("0.75"), gt=0, le=1, description="share of the daily loss limit from which entries are blocked"
    )
    max_sector_exposure_fraction: Decimal | None = Field(
        _D("0.30"), gt=0, le=1, description="value of all in one sector; symbols of unknown sector count as one"
    )
    max_correlation: float | None = Field(0.7, gt=0, le=1, description="|ρ| of daily returns with any holding")
    correlated_from: float = Field(0.5, ge=-1, le=1, description="from this ρ on a holding counts as correlated")
    max_correlated_exposure_fraction: Decimal | None = Field(
        _D("0.40"), gt=0, le=1, description="value of all correlated holdings and the entry"
    )
    correlation_sessions: int = Field(60, ge=20, le=250, description="daily returns, all before the session")
    max_spread_fraction: Decimal | None = Field(
        _D("0.005"), gt=0, le=1, description="(ask − bid) / mid, where the quote has both"
    )
    max_bars_without_trade: int | None = Field(2, ge=1, le=100, description="base bars; longer ago is stale")
    earnings_sessions: int | None = Field(2, ge=0, le=60, description="no entry when earnings are that near")
    restricted_symbols: tuple[str, ...] = Field((), description="never entered")
    account_type: Literal["margin", "cash"] = Field("margin", description="cash: only settled cash buys")
    max_value_at_risk_fraction: Decimal | None = Field(
        None, gt=0, le=1, description="historical 1-day 95 % VaR with the entry filled"
    )
    reject_streak_to_reduce: int = Field(5, ge=1, le=1000, description="refusals in a row until REDUCING")
    max_candidates_per_execution: int = Field(100, ge=1, le=1000, description="best ranked first; the rest is left out")
    max_orders_per_day: int = Field(100, ge=1)
    max_orders_per_symbol_per_day: int = Field(10, ge=1)
    max_orders_per_execution: int = Field(10, ge=1, description="one execution decides one watchlist")
    max_entries_per_symbol_per_session: int = Field(3, ge=1)
    max_watchlist_age_minutes: int = Field(20, ge=1)
    max_quote_age_seconds: int = Field(30, ge=1, description="in replay one base bar is added")
    collar_fraction: Decimal = Field(_D("0.01"), gt=0, lt=1, description="farthest an entry may be from the quote")
    hostile_regime: Literal["block", "scale"] = Field("block", description="scale: only the size multiplier acts")
    hostile_regime_score: float = Field(30.0, ge=0, le=100, description="below it the regime is hostile")
    only_a_plus_below_score: float = Field(40.0, ge=0, le=100)

    @model_validator(mode="after")
    def _only_margin_borrows(self) -> Self:
        if self.account_type == "cash" and self.buying_power_multiple > 1:
            raise ValueError(f"buying_power_multiple ({self.buying_power_multiple}): a cash account borrows nothing")
        return self

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        for small, large in (
            ("max_trade_risk_fraction", "max_open_risk_fraction"),
            ("max_trade_risk_fraction", "max_position_risk_fraction"),
            ("max_position_notional_fraction", "max_total_exposure_fraction"),
            ("max_orders_per_symbol_per_day", "max_orders_per_day"),
            ("max_orders_per_execution", "max_orders_per_day"),
            ("max_entries_per_symbol_per_session", "max_orders_per_symbol_per_day"),
            ("min_notional_usd", "max_order_notional_usd"),
            ("hostile_regime_score", "only_a_plus_below_score"),
        ):
            if getattr(self, small) > getattr(self, large):
                raise ValueError(
                    f"{small} ({getattr(self, small)}) must not exceed {large} ({getattr(self, large)}): "
                    f"lower the first or raise the second"
                )
        return self
