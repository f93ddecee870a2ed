"""What a fill costs: commission schedules as data."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from trading_pipeline.domain.money import SUB_PENNY, ZERO
from trading_pipeline.venue.rules import VenueRules


@dataclass(frozen=True, slots=True)
class Tier:
    """A rate (USD per share) for shares up to this many in a calendar month; None: for all that follow."""

    up_to_shares: int | None
    usd_per_share: Decimal


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order costs the sum of its tiers, at least `minimum_usd`, at most a fraction of its value; the cap wins.

    fee_usd_per_share: clearing and exchange fees passed through, on top, neither raised nor capped.
    """

    tiers: tuple[Tier, ...]
    minimum_usd: Decimal = ZERO
    maximum_fraction: Decimal | None = None
    fee_usd_per_share: Decimal = ZERO

    def raw_usd(self, shares: Decimal, month_shares: Decimal) -> Decimal:
        """Charge for `shares` after `month_shares` were traded this month; each tier prices its own part."""
        left, start, due = shares, month_shares, ZERO
        for tier in self.tiers:
            room = left if tier.up_to_shares is None else max(tier.up_to_shares - start, ZERO)
            part = min(left, room)
            due += part * tier.usd_per_share
            left, start = left - part, start + part
        return due

    def total_usd(self, raw_usd: Decimal, shares: Decimal, value_usd: Decimal) -> Decimal:
        """Commission of a whole order so far: never falls while the order fills."""
        due = max(raw_usd, self.minimum_usd)
        if self.maximum_fraction is not None:
            due = min(due, value_usd * self.maximum_fraction)
        return exact(due + shares * self.fee_usd_per_share)


def exact(usd: Decimal) -> Decimal:
    """To 0.0001 USD, as brokers book it; whole numbers stay as they are."""
    return usd if usd == usd.to_integral_value() else usd.quantize(SUB_PENNY, ROUND_HALF_UP)


IB_TIERED = Schedule(
    tiers=(
        Tier(300_000, Decimal("0.0035")),
        Tier(3_000_000, Decimal("0.0020")),
        Tier(20_000_000, Decimal("0.0015")),
        Tier(100_000_000, Decimal("0.0010")),
        Tier(None, Decimal("0.0005")),
    ),
    minimum_usd=Decimal("0.35"),
    maximum_fraction=Decimal("0.01"),
    fee_usd_per_share=Decimal("0.0032"),
)
"""Interactive Brokers, US stocks, tiered pricing. Fees: clearing 0.0002 and 0.0030 for taking liquidity, per share."""


def schedule_of(rules: VenueRules) -> Schedule:
    """The schedule the rules name."""
    flat = Tier(None, ZERO)
    schedules = {
        "zero": Schedule((flat,)),
        "per_order": Schedule((flat,), minimum_usd=rules.commission_usd_per_order),
        "per_share": Schedule(
            (Tier(None, rules.commission_usd_per_share),),
            minimum_usd=rules.commission_minimum_usd,
            maximum_fraction=rules.commission_maximum_fraction,
        ),
        "ib_tiered": IB_TIERED,
    }
    return schedules[rules.commission_schedule]
