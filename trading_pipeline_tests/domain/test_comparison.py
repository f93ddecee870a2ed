"""Both sides of a reconciliation, and every way in which they may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.comparison import compare
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.orders import ExecType, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.reconciliation import (
    Break,
    BreakKind,
    OurSide,
    ReconcileRules,
    Reconciliation,
    TheirSide,
    judged,
)
from trading_pipeline_tests.builders import AT, SESSION, a_fill, a_position, a_report, an_order, dec

RULES = ReconcileRules()
K = BreakKind


@dataclass(frozen=True)
class Holding:
    """A position as the venue tells it."""

    symbol: str
    quantity: Decimal
    avg_px: Decimal


Sides = tuple[OurSide, TheirSide]


def agreeing(*symbols: str) -> Sides:
    """In each symbol: 100 shares bought at 50.00 under a stop at 48.00, and a working entry for 10 more."""
    orders = [order for symbol in symbols for order in orders_of(symbol)]
    trades = [a_report(ExecType.TRADE, exec_id=f"x-{s}", client_order_id=f"{s}-bought") for s in symbols]
    fills = [a_fill(exec_id=f"x-{s}", client_order_id=f"{s}-bought", symbol=s) for s in symbols]
    ours = OurSide(
        orders=tuple(orders), positions=tuple(a_position(symbol=s, trade_id=f"{s}-bought") for s in symbols),
        fills=tuple(fills), cash_usd=dec(100_000) - 5000 * len(symbols), equity_usd=dec(100_000),
    )  # fmt: skip
    theirs = TheirSide(
        broker="simulated", orders=tuple(order for order in orders if order.is_open),
        positions=tuple(Holding(s, dec(100), dec(50)) for s in symbols),
        executions=tuple(trades), cash_usd=ours.cash_usd,
    )  # fmt: skip
    return ours, theirs


def orders_of(symbol: str) -> list[Order]:
    bought = an_order(
        client_order_id=f"{symbol}-bought", symbol=symbol, status=OrdStatus.FILLED, cum_qty=100, avg_px=50
    )
    stop = an_order(
        client_order_id=f"{symbol}-stop", symbol=symbol, side=Side.SELL, order_type=OrderType.STOP, leg=Leg.STOP,
        limit_price=None, stop_price=48,
    )  # fmt: skip
    return [bought, stop, an_order(client_order_id=f"{symbol}-more", symbol=symbol, quantity=10, limit_price=40)]


def changed(orders: tuple[Order, ...], name: str, **changes: object) -> tuple[Order, ...]:
    return tuple(
        replace(order, **changes) if order.client_order_id == name else order  # type: ignore[arg-type]
        for order in orders
    )


def without(orders: tuple[Order, ...], client_order_id: str) -> tuple[Order, ...]:
    return tuple(order for order in orders if order.client_order_id != client_order_id)


def positions(theirs: TheirSide, symbol: str, quantity: int, avg_px: object = 50) -> TheirSide:
    """The venue holds that many shares of the symbol."""
    others = [held for held in theirs.positions if held.symbol != symbol]
    held = [Holding(symbol, dec(quantity), dec(avg_px))] if quantity else []
    return replace(theirs, positions=(*others, *held))


def open_orders(sides: Sides) -> tuple[Order, ...]:
    return tuple(order for order in sides[1].orders if isinstance(order, Order))


# one discrepancy of each kind in one symbol; the subject it must be told under


def unknown_order(sides: Sides, symbol: str) -> Sides:
    ours, theirs = sides
    return ours, replace(theirs, orders=(*theirs.orders, an_order(client_order_id=f"{symbol}-strange", symbol=symbol)))


def missing_order(sides: Sides, symbol: str) -> Sides:
    return sides[0], replace(sides[1], orders=without(open_orders(sides), f"{symbol}-more"))


def state_differs(sides: Sides, symbol: str) -> Sides:
    moved = changed(open_orders(sides), f"{symbol}-more", status=OrdStatus.CANCELED)
    return sides[0], replace(sides[1], orders=moved)


def missing_fill(sides: Sides, symbol: str) -> Sides:
    """The venue filled 4 of the working entry at 40.00; nothing of it is on record."""
    theirs = positions(sides[1], symbol, 104)
    trade = a_report(
        ExecType.TRADE, exec_id=f"late-{symbol}", client_order_id=f"{symbol}-more", last_qty=4, last_px=40, commission=1
    )
    moved = changed(open_orders(sides), f"{symbol}-more", status=OrdStatus.PARTIALLY_FILLED, cum_qty=dec(4))
    stops = tuple(
        replace(order, quantity=dec(104)) if order.client_order_id == f"{symbol}-stop" else order for order in moved
    )
    ours = replace(sides[0], orders=changed(sides[0].orders, f"{symbol}-stop", quantity=dec(104)))
    return ours, replace(theirs, orders=stops, executions=(*theirs.executions, trade), cash_usd=theirs.cash_usd - 161)


def extra_fill(sides: Sides, symbol: str) -> Sides:
    """We have 4 shares on record that the venue never sold us."""
    ours, theirs = sides
    fill = a_fill(quantity=4, price=40, exec_id=f"odd-{symbol}", client_order_id=f"{symbol}-more", symbol=symbol)
    held = tuple(replace(p, quantity=p.quantity + 4) if p.symbol == symbol else p for p in ours.positions)
    orders = changed(ours.orders, f"{symbol}-more", status=OrdStatus.PARTIALLY_FILLED, cum_qty=dec(4))
    return replace(ours, orders=orders, positions=held, fills=(*ours.fills, fill), cash_usd=ours.cash_usd - 160), theirs


def quantity_differs(sides: Sides, symbol: str) -> Sides:
    ours = replace(sides[0], orders=changed(sides[0].orders, f"{symbol}-stop", quantity=dec(90)))
    theirs = replace(sides[1], orders=changed(open_orders(sides), f"{symbol}-stop", quantity=dec(90)))
    return ours, positions(theirs, symbol, 90)


def unknown_position(sides: Sides, symbol: str) -> Sides:
    ours, theirs = sides
    mine = tuple(held for held in ours.positions if held.symbol != symbol)
    fills = tuple(fill for fill in ours.fills if fill.symbol != symbol)
    trades = tuple(one for one in theirs.executions if one.client_order_id != f"{symbol}-bought")
    orders = without(ours.orders, f"{symbol}-bought")
    return replace(ours, positions=mine, fills=fills, orders=orders), replace(theirs, executions=trades)


def position_gone(sides: Sides, symbol: str) -> Sides:
    return sides[0], positions(sides[1], symbol, 0)


def average_price_differs(sides: Sides, symbol: str) -> Sides:
    return sides[0], positions(sides[1], symbol, 100, avg_px="50.01")


def cash_differs(sides: Sides, _symbol: str) -> Sides:
    return sides[0], replace(sides[1], cash_usd=sides[1].cash_usd - dec("100.01"))


def stop_missing(sides: Sides, symbol: str) -> Sides:
    """Both sides know that the stop has ended, and nothing took its place."""
    ours = replace(sides[0], orders=changed(sides[0].orders, f"{symbol}-stop", status=OrdStatus.CANCELED))
    return ours, replace(sides[1], orders=without(open_orders(sides), f"{symbol}-stop"))


def stop_quantity_wrong(sides: Sides, symbol: str) -> Sides:
    ours = replace(sides[0], orders=changed(sides[0].orders, f"{symbol}-stop", quantity=dec(99)))
    return ours, replace(sides[1], orders=changed(open_orders(sides), f"{symbol}-stop", quantity=dec(99)))


DISCREPANCIES: dict[BreakKind, tuple[Callable[[Sides, str], Sides], str]] = {
    K.UNKNOWN_ORDER: (unknown_order, "{}-strange"),
    K.MISSING_ORDER: (missing_order, "{}-more"),
    K.STATE_DIFFERS: (state_differs, "{}-more"),
    K.MISSING_FILL: (missing_fill, "{}-more"),
    K.EXTRA_FILL: (extra_fill, "{}-more"),
    K.QUANTITY_DIFFERS: (quantity_differs, "{}"),
    K.UNKNOWN_POSITION: (unknown_position, "{}"),
    K.POSITION_GONE: (position_gone, "{}"),
    K.AVERAGE_PRICE_DIFFERS: (average_price_differs, "{}"),
    K.CASH_DIFFERS: (cash_differs, "cash"),
    K.STOP_MISSING: (stop_missing, "{}"),
    K.STOP_QUANTITY_WRONG: (stop_quantity_wrong, "{}"),
}


def found(sides: Sides) -> list[tuple[BreakKind, str]]:
    return [(one.kind, one.subject) for one in compare(*sides, RULES)]


def test_every_kind_of_difference_can_be_made() -> None:
    assert set(DISCREPANCIES) == set(BreakKind)


def test_sides_that_agree_have_no_difference() -> None:
    assert compare(*agreeing("ABC", "XYZ"), RULES) == ()


@pytest.mark.parametrize("kind", list(BreakKind))
def test_each_difference_alone_is_found_as_what_it_is_and_as_nothing_else(kind: BreakKind) -> None:
    make, subject = DISCREPANCIES[kind]

    assert found(make(agreeing("ABC", "XYZ"), "XYZ")) == [(kind, subject.format("XYZ"))]


@given(chosen=st.sets(st.sampled_from(list(BreakKind))))
def test_any_differences_together_are_all_found_and_nothing_else(chosen: set[BreakKind]) -> None:
    symbols = {kind: f"{kind.name[:6]}{number}" for number, kind in enumerate(BreakKind)}
    sides, expected = agreeing(*symbols.values(), "CALM"), set()
    for kind in sorted(chosen):
        make, subject = DISCREPANCIES[kind]
        sides = make(sides, symbols[kind])
        expected.add((kind, subject.format(symbols[kind])))

    assert set(found(sides)) == expected
    assert len(found(sides)) == len(expected)


@given(kind=st.sampled_from(list(BreakKind)), order=st.randoms(use_true_random=False))
def test_the_order_in_which_either_side_lists_its_things_does_not_matter(kind: BreakKind, order: object) -> None:
    ours, theirs = DISCREPANCIES[kind][0](agreeing("ABC", "XYZ"), "XYZ")
    mixed = [list(one) for one in (ours.orders, ours.fills, theirs.orders, theirs.positions, theirs.executions)]
    for one in mixed:
        order.shuffle(one)  # type: ignore[attr-defined]
    shuffled = (
        replace(ours, orders=tuple(mixed[0]), fills=tuple(mixed[1])),  # type: ignore[arg-type]
        replace(theirs, orders=tuple(mixed[2]), positions=tuple(mixed[3]), executions=tuple(mixed[4])),  # type: ignore[arg-type]
    )

    assert compare(*shuffled, RULES) == compare(ours, theirs, RULES)


# what is not a difference


@pytest.mark.parametrize("status", [OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT])
def test_an_order_not_sent_yet_or_in_doubt_is_not_missing(status: OrdStatus) -> None:
    ours, theirs = missing_order(agreeing("XYZ"), "XYZ")

    assert found((replace(ours, orders=changed(ours.orders, "XYZ-more", status=status)), theirs)) == []


def test_a_leg_the_venue_named_itself_is_known_by_the_venues_id() -> None:
    ours, theirs = agreeing("XYZ")
    ours = replace(ours, orders=changed(ours.orders, "XYZ-stop", venue_order_id="v-7"))
    renamed = changed(open_orders((ours, theirs)), "XYZ-stop", client_order_id="theirs-7", venue_order_id="v-7")

    assert found((ours, replace(theirs, orders=renamed))) == []


def test_legs_may_be_for_more_than_is_held_while_their_entry_works() -> None:
    ours, theirs = agreeing("XYZ")
    ours = replace(ours, orders=changed(ours.orders, "XYZ-stop", quantity=dec(110)))

    assert found((ours, replace(theirs, orders=tuple(o for o in ours.orders if o.is_open)))) == []


def test_a_position_on_its_way_out_needs_no_stop() -> None:
    ours, theirs = stop_missing(agreeing("XYZ"), "XYZ")
    leaving = an_order(client_order_id="out", symbol="XYZ", side=Side.SELL, order_type=OrderType.MARKET, leg=Leg.EXIT)

    assert (
        found((replace(ours, orders=(*ours.orders, leaving)), replace(theirs, orders=(*theirs.orders, leaving)))) == []
    )


@pytest.mark.parametrize("kind", [OrderType.STOP, OrderType.TRAILING_STOP])
def test_a_stop_the_venue_only_holds_differs_from_one_that_works_and_covers_nothing(kind: OrderType) -> None:
    ours, theirs = agreeing("XYZ")
    ours = replace(ours, orders=changed(ours.orders, "XYZ-stop", order_type=kind))
    held = changed(tuple(o for o in ours.orders if o.is_open), "XYZ-stop", status=OrdStatus.PENDING_NEW)

    differing = [(K.STATE_DIFFERS, "XYZ-stop"), (K.STOP_MISSING, "XYZ")]
    assert found((ours, replace(theirs, orders=held))) == differing


def test_a_trailing_stop_moves_at_the_venue_without_being_a_difference() -> None:
    ours, theirs = agreeing("XYZ")
    ours = replace(ours, orders=changed(ours.orders, "XYZ-stop", order_type=OrderType.TRAILING_STOP))
    moved = changed(tuple(o for o in ours.orders if o.is_open), "XYZ-stop", stop_price=dec(49))

    assert found((ours, replace(theirs, orders=moved))) == []


def test_a_stop_at_another_price_than_recorded_differs() -> None:
    ours, theirs = agreeing("XYZ")

    moved = changed(open_orders((ours, theirs)), "XYZ-stop", stop_price=dec(47))

    assert found((ours, replace(theirs, orders=moved))) == [(K.STATE_DIFFERS, "XYZ-stop")]


@pytest.mark.parametrize(
    ("cash", "told"), [("0.009", []), ("0.01", [True]), ("100.00", [True]), ("100.01", [False]), ("-100.01", [False])]
)
def test_unexplained_cash_blocks_above_a_thousandth_of_equity_and_informs_from_a_cent(
    cash: str, told: list[bool]
) -> None:
    ours, theirs = agreeing("XYZ")

    breaks = compare(ours, replace(theirs, cash_usd=theirs.cash_usd + dec(cash)), RULES)

    assert [one.is_information for one in breaks] == told
    assert [one.blocks for one in breaks] == [not information for information in told]


def test_with_no_equity_any_unexplained_cent_blocks() -> None:
    ours, theirs = agreeing("XYZ")

    (one,) = compare(replace(ours, equity_usd=dec(0)), replace(theirs, cash_usd=theirs.cash_usd - 1), RULES)

    assert one.blocks


def test_an_execution_of_an_order_nobody_can_name_is_an_unknown_order() -> None:
    ours, theirs = agreeing("XYZ")
    strange = a_report(ExecType.TRADE, exec_id="s", client_order_id="who")

    assert (K.UNKNOWN_ORDER, "who") in found((ours, replace(theirs, executions=(*theirs.executions, strange))))


# two passes


def a_break(kind: BreakKind = K.QUANTITY_DIFFERS, symbol: str = "XYZ") -> Break:
    return Break(kind=kind, symbol=symbol, subject=symbol, ours="100", theirs="90")


def a_pass(found_then: tuple[Break, ...], seconds: float, before: Reconciliation | None = None) -> Reconciliation:
    at = AT + timedelta(seconds=seconds)
    confirmed, suspected = judged(found_then, before, at, RULES)
    return Reconciliation(account="A", session=SESSION, at=at, breaks=confirmed, suspected=suspected)


def test_a_break_counts_after_two_passes_five_seconds_apart() -> None:
    first = a_pass((a_break(),), 0)
    early = a_pass((replace(a_break(), theirs="80"),), 4.9, first)
    second = a_pass((a_break(),), 5, early)

    assert [len(one.breaks) for one in (first, early, second)] == [0, 0, 1]
    assert [len(one.suspected) for one in (first, early, second)] == [1, 1, 0]
    assert second.breaks[0].since == AT
    assert not any(one.is_clean for one in (first, early, second))


def test_a_difference_that_comes_and_goes_never_counts() -> None:
    first = a_pass((a_break(),), 0)
    gone = a_pass((), 10, first)
    again = a_pass((a_break(),), 20, gone)

    assert gone.is_clean
    assert (again.breaks, len(again.suspected)) == ((), 1)


def test_information_leaves_a_pass_clean() -> None:
    first = a_pass((a_break(K.AVERAGE_PRICE_DIFFERS), replace(a_break(K.CASH_DIFFERS, ""), is_information=True)), 0)

    assert first.is_clean


def test_a_break_blocks_its_own_symbol_and_cash_blocks_the_account() -> None:
    first = a_pass((a_break(),), 0)

    assert (len(first.blocking("XYZ")), len(first.blocking("ABC")), len(first.blocking(""))) == (1, 0, 0)
    assert len(a_pass((a_break(K.CASH_DIFFERS, ""),), 0).blocking("ABC")) == 1


def test_a_stop_seen_missing_once_holds_no_entry_and_a_confirmed_one_does() -> None:
    first = a_pass((a_break(K.STOP_MISSING),), 0)
    second = a_pass((a_break(K.STOP_MISSING),), 5, first)

    assert (first.is_clean, first.blocking("XYZ")) == (False, ())
    assert [one.kind for one in second.blocking("XYZ")] == [K.STOP_MISSING]


def test_a_clock_that_went_backwards_is_told() -> None:
    with pytest.raises(TradingError, match="went backwards"):
        a_pass((), 0, a_pass((), 10))


def test_passes_must_come_before_the_last_is_too_old() -> None:
    with pytest.raises(ValueError, match="every entry would wait"):
        ReconcileRules(every_seconds=60, max_age_seconds=60)
