"""What trading at the simulated venue costs and allows."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field


class VenueRules(BaseModel):
    """House rules of the simulated venue; money in USD, fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str = Field(default="SIM", min_length=1, max_length=32)
    initial_cash_usd: Decimal = Field(
        default=Decimal(100_000), gt=0, description="cash of an account opened for the first time"
    )
    commission_usd_per_order: Decimal = Field(
        default=Decimal(1), ge=0, description="charged with an order's first fill"
    )
    slippage_fraction: Decimal = Field(
        default=Decimal("0.0005"),
        ge=0,
        le=Decimal("0.05"),
        description="market and stop fills, and limits that arrive marketable, are this much worse",
    )
    participation_fraction: Decimal = Field(
        default=Decimal("0.10"),
        gt=0,
        le=1,
        description="share of a bar's volume that our buys, and our sells, may each take",
    )
    partial_fills: bool = Field(
        default=True, description="false: an order waits for a bar whose volume carries all that is left of it"
    )
    buying_power_multiple: Decimal = Field(
        default=Decimal(1), ge=1, le=4, description="1 = cash account; equity times this"
    )
    price_reserve_multiple: Decimal = Field(
        default=Decimal("1.05"),
        ge=1,
        le=2,
        description="a buy without a limit reserves the last price (or stop) times this",
    )
