"""What trading at the simulated venue costs and allows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings


class VenueRules(BaseModel):
    """House rules of the simulated venue; money in USD, fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str = Field(default="SIM", min_length=1, max_length=32)
    initial_cash_usd: Decimal = Field(
        default=Decimal(100_000), gt=0, description="cash of an account opened for the first time"
    )
    commission_schedule: Literal["per_order", "per_share", "ib_tiered", "zero"] = Field(
        default="per_order", description="which of the schedules prices a fill"
    )
    commission_usd_per_order: Decimal = Field(
        default=Decimal(1), ge=0, description="per_order: charged with an order's first fill"
    )
    commission_usd_per_share: Decimal = Field(default=Decimal("0.005"), ge=0, le=1, description="per_share")
    commission_minimum_usd: Decimal = Field(default=Decimal(1), ge=0, description="per_share: least per order")
    commission_maximum_fraction: Decimal = Field(
        default=Decimal("0.01"), gt=0, le=1, description="per_share: most, of the order's value; beats the minimum"
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
    account_type: Literal["margin", "cash"] = Field(
        default="margin", description="cash: only settled cash buys; sales settle with the next session (T+1)"
    )
    orders_in_halt: Literal["accept", "refuse"] = Field(
        default="accept", description="what happens to an order in a halted symbol"
    )
    refuses_by_report: bool = Field(
        default=False, description="a cancel or replace that came too late is refused by a report, not at once"
    )
    legs_wait_for_whole_entry: bool = Field(
        default=False, description="a bracket's legs work once its entry is filled to the last share, not before"
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


def rules_from(settings: Settings) -> VenueRules:
    """The simulated venue's rules as configured, for the configured account."""
    return VenueRules(
        account=settings.execution.account,
        initial_cash_usd=settings.execution.initial_cash_usd,
        buying_power_multiple=settings.execution.risk.buying_power_multiple,
        **settings.venue.model_dump(),
    )
