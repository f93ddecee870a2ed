"""Laws of the venue over random days, recomputed from its reports by a second, literal bookkeeping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.order_states import advance
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    ExecutionReport,
    Order,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
)
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import SESSION, at, reports
from trading_pipeline_tests.venue.random_days import Bars, Open, Step, Submit, days, play

RULES = VenueRules()
MINUTE = timedelta(minutes=1)
ALL_RULES = [
    VenueRules.model_validate({"commission_schedule": schedule, "account_type": account})
    for schedule in ("per_order", "per_share", "ib_tiered", "zero")
    for account in ("margin", "cash")
]


def a_day(steps: Sequence[Step]) -> SimulatedVenue:
    return play(SimulatedVenue(None, RULES), steps)


def sent(steps: Sequence[Step]) -> dict[str, OrderRequest]:
    found = (order for step in steps if isinstance(step, Submit) for order in orders_of(step.request))
    return {order.client_order_id: order for order in found}


def brackets(steps: Sequence[Step], venue: SimulatedVenue) -> list[BracketRequest]:
    asked = [s.request for s in steps if isinstance(s, Submit) and isinstance(s.request, BracketRequest)]
    return [bracket for bracket in asked if venue.order(bracket.entry.client_order_id) is not None]


@dataclass
class Witness:
    """Orders as a client folds them, with the state of each before every report."""

    orders: dict[str, Order]
    seen: list[tuple[Order, ExecutionReport]] = field(default_factory=list)

    @classmethod
    def of(cls, steps: Sequence[Step], venue: SimulatedVenue) -> Witness:
        witness = cls({name: an_order_record(request) for name, request in sent(steps).items()})
        for report in reports(venue):
            before = witness.orders[report.client_order_id]
            witness.seen.append((before, report))
            witness.orders[report.client_order_id] = advance(before, report)
        return witness

    def fills(self) -> list[tuple[Order, ExecutionReport]]:
        return [(order, report) for order, report in self.seen if report.exec_type is ExecType.TRADE]


def an_order_record(request: OrderRequest) -> Order:
    return Order(
        client_order_id=request.client_order_id, intent_id="i", account="SIM", strategy="s", session=SESSION.session,
        symbol=request.symbol, side=request.side, order_type=request.order_type, quantity=request.quantity,
        leg=request.leg, time_in_force=request.time_in_force, created_at=at(0), updated_at=at(0),
        limit_price=request.limit_price, stop_price=request.stop_price,
    )  # fmt: skip


@given(steps=days(acts=True))
@settings(deadline=None, max_examples=80)
def test_a_client_that_folds_the_reports_knows_every_order_as_the_venue_does(steps: list[Step]) -> None:
    venue = a_day(steps)
    for name, order in Witness.of(steps, venue).orders.items():
        theirs = venue.order(name)
        if theirs is None:
            assert order.status is OrdStatus.PENDING_NEW
            continue
        assert (order.status, order.cum_qty, order.quantity) == (theirs.status, theirs.cum_qty, theirs.quantity)
        if order.order_type is not OrderType.TRAILING_STOP:  # it moves without a word, as at real venues
            assert (order.limit_price, order.stop_price) == (theirs.limit_price, theirs.stop_price)


@given(steps=days(), rules=st.sampled_from(ALL_RULES))
@settings(deadline=None, max_examples=60)
def test_cash_and_shares_are_conserved_to_the_last_digit_and_no_position_is_short(
    steps: list[Step], rules: VenueRules
) -> None:
    cash, shares = rules.initial_cash_usd, defaultdict[str, Decimal](Decimal)
    venue = play(SimulatedVenue(None, rules), steps)
    for order, fill in Witness.of(steps, venue).fills():
        signed = fill.last_qty if order.side is Side.BUY else -fill.last_qty
        shares[order.symbol] += signed
        cash -= signed * fill.last_px + fill.commission
        assert shares[order.symbol] >= 0
        assert fill.commission >= 0
        if rules.commission_schedule == "per_order":
            assert fill.commission == (0 if order.cum_qty else rules.commission_usd_per_order)
    assert venue.account().cash_usd == cash
    assert {p.symbol: p.quantity for p in venue.positions()} == {s: q for s, q in shares.items() if q}


@given(steps=days(acts=True), rules=st.sampled_from(ALL_RULES))
@settings(deadline=None, max_examples=60)
def test_cash_is_fills_and_activities_and_a_session_open_conserves_equity_to_the_cent(
    steps: list[Step], rules: VenueRules
) -> None:
    venue = SimulatedVenue(None, rules)
    equity = venue.account().equity_usd
    for step in steps:
        play(venue, [step])
        after = venue.account().equity_usd
        if isinstance(step, Open):
            assert abs(after - equity) <= Decimal("0.01") * (len(step.splits) + len(step.dividends))
        equity = after
    flow = sum(
        ((-1 if o.side is Side.BUY else 1) * f.last_qty * f.last_px - f.commission)
        for o, f in Witness.of(steps, venue).fills()
    )
    paid = sum(activity.amount_usd for activity in venue.cash_activities(at(-1)))
    assert venue.account().cash_usd == rules.initial_cash_usd + flow + paid


@given(steps=days(acts=True))
@settings(deadline=None, max_examples=60)
def test_working_sells_never_exceed_what_is_held_and_exits_of_one_family_count_once(steps: list[Step]) -> None:
    families = {
        leg.client_order_id: orders_of(step.request)[0].client_order_id
        for step in steps
        if isinstance(step, Submit)
        for leg in orders_of(step.request)
    }

    def look(venue: SimulatedVenue) -> SimulatedVenue:
        held = {position.symbol: position.quantity for position in venue.positions()}
        sells: dict[tuple[str, str], Decimal] = {}
        waiting = {o.client_order_id for o in venue.open_orders() if o.side is Side.BUY}
        for order in venue.open_orders():
            family = families[order.client_order_id]
            if order.side is Side.SELL and family not in waiting:
                key = (order.symbol, family)
                sells[key] = max(sells.get(key, Decimal(0)), order.quantity - order.cum_qty)
        for symbol in {symbol for symbol, _ in sells}:
            assert sum(qty for (of, _), qty in sells.items() if of == symbol) <= held.get(symbol, 0)
        return venue

    play(SimulatedVenue(None, RULES), steps, look)


@given(steps=days())
@settings(deadline=None, max_examples=60)
def test_no_fill_is_worse_than_its_limit_nor_in_a_bar_that_began_before_acceptance(steps: list[Step]) -> None:
    accepted: dict[str, datetime] = {}
    for order, report in Witness.of(steps, a_day(steps)).seen:
        if report.exec_type is ExecType.NEW:
            accepted[order.client_order_id] = report.occurred_at
        if report.exec_type is not ExecType.TRADE:
            continue
        assert report.occurred_at - MINUTE >= accepted[order.client_order_id]
        if order.order_type in {OrderType.LIMIT, OrderType.STOP_LIMIT}:
            assert order.limit_price is not None
            ahead = order.limit_price - report.last_px
            assert ahead >= 0 if order.side is Side.BUY else ahead <= 0


@given(steps=days())
@settings(deadline=None, max_examples=60)
def test_the_legs_of_a_bracket_together_sell_at_most_what_the_entry_bought(steps: list[Step]) -> None:
    venue = a_day(steps)
    fills = Witness.of(steps, venue).fills()
    for bracket in brackets(steps, venue):
        entry, *legs = (order.client_order_id for order in orders_of(bracket))
        held = Decimal(0)
        for order, fill in fills:
            if order.client_order_id in {entry, *legs}:
                held += fill.last_qty if order.client_order_id == entry else -fill.last_qty
                assert held >= 0


@given(steps=days())
@settings(deadline=None, max_examples=60)
def test_a_target_fills_only_where_the_stop_was_not_reached_and_only_shares_held_at_the_bars_start(
    steps: list[Step],
) -> None:
    venue = a_day(steps)
    witness, bars = Witness.of(steps, venue), bars_by_end(steps)
    for bracket in (bracket for bracket in brackets(steps, venue) if bracket.target is not None):
        entry_id, stop_id, target_id = (order.client_order_id for order in orders_of(bracket))
        state = {order.client_order_id: an_order_record(order) for order in orders_of(bracket)}
        entry_fills: list[ExecutionReport] = []
        for order, report in witness.seen:
            if order.client_order_id not in state:
                continue
            if report.exec_type is ExecType.TRADE and order.client_order_id == target_id:
                bar = bars[order.symbol, report.occurred_at]
                stop = state[stop_id]
                assert not stop.is_open or (stop.stop_price is not None and bar.low > stop.stop_price)
                earlier = sum(fill.last_qty for fill in entry_fills if fill.occurred_at < report.occurred_at)
                assert state[target_id].cum_qty + report.last_qty <= earlier
            if report.exec_type is ExecType.TRADE and order.client_order_id == entry_id:
                entry_fills.append(report)
            state[order.client_order_id] = advance(order, report)


def bars_by_end(steps: Sequence[Step]) -> dict[tuple[str, datetime], MarketBar]:
    return {(bar.symbol, bar.end_at): bar for step in steps if isinstance(step, Bars) for bar in step.bars}


@given(steps=days())
@settings(deadline=None, max_examples=30)
def test_the_same_day_gives_the_same_reports_whatever_the_order_of_the_bars(steps: list[Step]) -> None:
    shuffled = [Bars(step.bars[::-1]) if isinstance(step, Bars) else step for step in steps]

    assert list(reports(a_day(shuffled))) == list(reports(a_day(steps)))


@given(steps=days())
@settings(deadline=None, max_examples=30)
def test_bars_and_submissions_repeated_at_once_change_nothing(steps: list[Step]) -> None:
    doubled = [again for step in steps for again in ((step, step) if isinstance(step, Bars | Submit) else (step,))]

    assert list(reports(a_day(doubled))) == list(reports(a_day(steps)))


@given(steps=days())
@settings(deadline=None, max_examples=60)
def test_buying_power_is_never_overdrawn(steps: list[Step]) -> None:
    commissions = RULES.commission_usd_per_order * len(sent(steps))

    def look(venue: SimulatedVenue) -> SimulatedVenue:
        assert venue.account().cash_usd >= -commissions  # a sale may bring less than its commission
        return venue

    play(SimulatedVenue(None, RULES), steps, look)
