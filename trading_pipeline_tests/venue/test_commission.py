"""Commission schedules against figures worked by hand from the public price lists."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.orders import ExecType, OrderType, Side
from trading_pipeline.venue.commission import IB_TIERED, schedule_of
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import FREE, a_venue, an_order, at, feed, flat, reports

SCHEDULES = ("per_order", "per_share", "ib_tiered", "zero")


def rules(schedule: str) -> VenueRules:
    return VenueRules.model_validate({"commission_schedule": schedule, "slippage_fraction": 0})


def whole(schedule: str, shares: int, price: str) -> Decimal:
    """What one order of that size costs in all."""
    plan, quantity = schedule_of(rules(schedule)), Decimal(shares)
    return plan.total_usd(plan.raw_usd(quantity, Decimal(0)), quantity, quantity * Decimal(price))


@pytest.mark.parametrize(
    ("schedule", "shares", "price", "usd"),
    [
        ("zero", 1000, "50", "0"),
        ("per_order", 1000, "50", "1"),
        ("per_share", 1000, "50", "5"),
        ("per_share", 100, "50", "1"),  # the minimum
        ("per_share", 1000, "0.25", "2.50"),  # 1 % of 250 USD
        ("per_share", 10, "1", "0.10"),  # the cap beats the minimum
        ("ib_tiered", 1000, "50", "6.70"),  # 3.50 and 3.20 of fees
        ("ib_tiered", 50, "50", "0.51"),  # 0.35 and 0.16
        ("ib_tiered", 400_000, "50", "2530"),  # 300,000 at 0.0035, 100,000 at 0.0020, fees 1,280
    ],
)
def test_an_order_costs_what_its_schedule_says(schedule: str, shares: int, price: str, usd: str) -> None:
    assert whole(schedule, shares, price) == Decimal(usd)


def test_a_later_order_of_the_month_pays_the_tier_it_falls_in() -> None:
    assert IB_TIERED.raw_usd(Decimal(1000), Decimal(299_500)) == 500 * Decimal("0.0035") + 500 * Decimal("0.0020")
    assert IB_TIERED.raw_usd(Decimal(1000), Decimal(200_000_000)) == Decimal("0.5")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_partial_fills_add_up_to_the_whole_orders_commission(schedule: str) -> None:
    venue = a_venue(rules(schedule))
    venue.submit(an_order("o", Side.BUY, OrderType.LIMIT, limit=50, quantity=1000), at(0))

    feed(venue, *(flat(minute, 50, volume=volume) for minute, volume in enumerate((70, 1000, 3330, 1_000_000))))

    paid = [report.commission for report in reports(venue) if report.exec_type is ExecType.TRADE]
    assert len(paid) == 4
    assert min(paid) >= 0
    assert sum(paid) == whole(schedule, 1000, "50")


def test_a_working_buy_reserves_its_commission() -> None:
    venue = a_venue(rules("per_share"))
    venue.submit(an_order("o", Side.BUY, OrderType.LIMIT, limit=50, quantity=1000), at(0))

    assert venue.account().buying_power_usd == 100_000 - 50_000 - 5


def test_the_default_is_one_dollar_an_order() -> None:
    assert whole("per_order", 7, "3") == 1
    assert FREE.commission_schedule == "per_order"


@given(
    schedule=st.sampled_from(SCHEDULES),
    parts=st.lists(st.integers(min_value=1, max_value=200_000), min_size=1, max_size=6),
    cents=st.integers(min_value=1, max_value=100_000),
)
def test_the_commission_of_an_order_never_falls_as_it_fills(schedule: str, parts: list[int], cents: int) -> None:
    plan, price = schedule_of(rules(schedule)), Decimal(cents) / 100
    raw = shares = last = Decimal(0)
    for part in parts:
        raw += plan.raw_usd(Decimal(part), shares)
        shares += part
        total = plan.total_usd(raw, shares, shares * price)
        assert total >= last
        last = total
