"""Cover: what is for sale, what is protected, and what stops must change to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.protection import cover_of, resizes
from trading_pipeline_tests.builders import an_order, dec


def a_leg(name: str, leg: Leg, quantity: object = 100, **changes: Any) -> Order:
    """A working sell."""
    kind = {Leg.STOP: OrderType.STOP, Leg.TARGET: OrderType.LIMIT}.get(leg, OrderType.MARKET)
    return an_order(client_order_id=name, leg=leg, side=Side.SELL, order_type=kind, quantity=quantity, **changes)


def an_oco(quantity: object = 100, **changes: Any) -> list[Order]:
    stop = a_leg("stop", Leg.STOP, quantity, **changes)
    return [stop, a_leg("target", Leg.TARGET, quantity, parent_id="stop", **changes)]


def whole(*shares: Decimal) -> list[int]:
    return [int(one) for one in shares]


def test_the_legs_of_an_oco_sell_their_shares_once() -> None:
    cover = cover_of(dec(100), an_oco())

    assert whole(cover.on_sale, cover.free, cover.bare, cover.leaving) == [100, 0, 0, 0]


def test_a_bracket_counts_what_its_entry_has_bought() -> None:
    entry = an_order(client_order_id="entry", quantity=200, cum_qty=80, status=OrdStatus.PARTIALLY_FILLED)
    legs = [a_leg(leg.value, leg, 200, parent_id="entry") for leg in (Leg.STOP, Leg.TARGET)]

    cover = cover_of(dec(80), [entry, *legs])

    assert whole(cover.on_sale, cover.bare) == [80, 0]


def test_a_stop_nobody_has_confirmed_is_for_sale_and_does_not_protect() -> None:
    for status in (OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT, OrdStatus.PENDING_CANCEL):
        cover = cover_of(dec(100), an_oco(status=status))
        assert whole(cover.free, cover.bare) == [0, 100]


def test_shares_under_a_sale_are_on_their_way() -> None:
    cover = cover_of(dec(100), [a_leg("exit", Leg.EXIT, 40), *an_oco(60)])

    assert whole(cover.leaving, cover.free, cover.bare) == [40, 0, 0]


def test_a_lone_group_grows_where_the_venue_can_and_else_gets_company() -> None:
    cover = cover_of(dec(150), an_oco(100))

    assert resizes(cover, dec(150), may_grow=True)[1] == 0
    assert [one.shares for one in resizes(cover, dec(150), may_grow=True)[0]] == [150]
    assert resizes(cover, dec(150), may_grow=False) == ((), dec(50))


def test_a_target_whose_stop_is_gone_makes_room() -> None:
    cover = cover_of(dec(100), [a_leg("target", Leg.TARGET, 100, parent_id="gone")])

    changes, missing = resizes(cover, dec(100), may_grow=True)

    assert whole(*(one.shares for one in changes), missing) == [0, 100]


shares = st.integers(0, 300).map(dec)
statuses = st.sampled_from([OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL])
groups = st.lists(st.tuples(st.integers(1, 300), statuses, st.booleans(), st.booleans()), max_size=4)


def orders_of(drawn: list[tuple[int, OrdStatus, bool, bool]]) -> list[Order]:
    found = []
    for number, (quantity, status, has_stop, has_target) in enumerate(drawn):
        name = f"g{number}"
        if has_stop:
            found.append(a_leg(name, Leg.STOP, quantity, status=status))
        if has_target or not has_stop:
            found.append(a_leg(f"{name}t", Leg.TARGET, quantity, status=status, parent_id=name))
    return found


@given(held=shares, drawn=groups, may_grow=st.booleans())
def test_once_settled_and_resized_stops_cover_what_is_wanted_exactly(
    held: Any, drawn: list[tuple[int, OrdStatus, bool, bool]], may_grow: bool
) -> None:
    cover = cover_of(held, orders_of(drawn))

    changes, missing = resizes(cover, held, may_grow=may_grow)

    changed = {id(one.exits): one.shares for one in changes}
    kept = [changed.get(id(one), one.shares) for one in cover.exits]
    assert missing >= 0
    assert sum(kept, ZERO) + missing == held
    assert all(one.protected for one, shares in zip(cover.exits, kept, strict=True) if shares and one.is_settled)


@given(held=shares, drawn=groups)
def test_free_and_bare_are_never_negative_and_count_no_share_twice(
    held: Any, drawn: list[tuple[int, OrdStatus, bool, bool]]
) -> None:
    cover = cover_of(held, orders_of(drawn))

    assert 0 <= cover.free <= held
    assert 0 <= cover.bare <= held
    assert cover.free == max(held - cover.on_sale, 0)
