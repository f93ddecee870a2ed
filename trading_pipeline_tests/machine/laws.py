"""What holds after every act, whatever happened; and what holds once nothing is on its way any more.

Counted a second way: shares and money from fills alone, never through the code that is watched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import EXTERNAL, TERMINAL, ExecType, Fill, Leg, Order, OrdStatus, Side
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.protection import cover_of
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.book import exposures, read_holdings, recorded_cash
from trading_pipeline.venue.tickets import Ticket
from trading_pipeline_tests.machine.socket import require
from trading_pipeline_tests.machine.world import ACCOUNT, LIMITS, OPENING_CASH, World

CENT = Decimal("0.01")


@dataclass(slots=True)
class Laws:
    """Watches one world. What it remembers is what had been seen after the act before."""

    world: World
    orders: dict[str, Order] = field(default_factory=dict)
    stops: dict[str, Decimal] = field(default_factory=dict)
    rested: int = 0
    """How often nothing was on its way."""

    def check(self) -> None:
        """Raise LawBroken when something does not hold."""
        with self.world.ledger.read() as tx:
            self._check(tx)

    def _check(self, tx: LedgerTransaction) -> None:
        session = self.world.times.session
        fills, held = tx.fills(ACCOUNT), {position.symbol: position for position in tx.positions(ACCOUNT)}
        todays = {order.client_order_id: order for order in tx.orders(ACCOUNT, session)}
        known = {**todays, **{order.client_order_id: order for order in tx.open_orders(ACCOUNT)}}
        working = [order for order in known.values() if order.is_open]
        one_live_entry(working, self.world)
        shares_are_the_sum_of_fills(fills, held)
        money_adds_up(tx, fills, held)
        self._orders_go_one_way(known)
        self._stops_only_rise(tx, held)
        self._risk_is_reserved(tx, held)
        fills_have_a_cause(tx, fills)
        sales_are_of_what_is_held(self.world)
        if self._is_at_rest(tx, working):
            self.rested += 1
            record_is_the_venue(tx, self.world, held)

    # one act after the other

    def _orders_go_one_way(self, known: dict[str, Order]) -> None:
        """Shares filled never fall and ended orders stay so, unless the venue took something back."""
        for name, order in known.items():
            before = self.orders.get(name)
            if before is order:
                continue
            if before is not None and name not in self.world.busted:
                require(order.cum_qty >= before.cum_qty, f"{name}: {before.cum_qty} filled, then {order.cum_qty}")
                ended = before.status in TERMINAL
                require(not ended or order.status in TERMINAL, f"{name} was {before.status} and is {order.status}")
                is_late = order.cum_qty > before.cum_qty
                require(
                    not ended or is_late or order.status is before.status,
                    f"{name} was {before.status} and is {order.status} without a late fill",
                )
            require(ZERO <= order.cum_qty <= order.quantity, f"{name}: {order.cum_qty} of {order.quantity} filled")
            self.orders[name] = order

    def _stops_only_rise(self, tx: LedgerTransaction, held: dict[str, Position]) -> None:
        """While it is held, and no bust has joined it with an earlier trade: then each part has its own stop.

        A round trip that had ended and was opened again, by shares somebody else bought in its last bar, begins anew.
        """
        tickets = self.world.venue._state.tickets
        joined = {tickets[name].symbol for name in self.world.busted}
        live = {position.trade_id for position in held.values()}
        self.stops = {trade_id: level for trade_id, level in self.stops.items() if trade_id in live}
        for position in held.values():
            before = self.stops.get(position.trade_id)
            is_reopened = tx.trade(position.trade_id) is not None
            if position.stop is None or position.symbol in joined or is_reopened:
                continue
            require(
                before is None or position.stop >= before,
                f"the stop of {position.trade_id} fell from {before} to {position.stop}",
            )
            self.stops[position.trade_id] = position.stop

    def _risk_is_reserved(self, tx: LedgerTransaction, held: dict[str, Position]) -> None:
        """Each working entry reserves what it loses at its stop; nothing working reserves nothing; limits hold."""
        record = tx.session_record(ACCOUNT, self.world.times.session)
        if record is None:
            return
        holdings = read_holdings(self.world.loop.desk, tx, record)
        book = [one for one in exposures(holdings, tx.intents(ACCOUNT, record.session)) if one.is_working]
        own = [order for order in holdings.working if order.strategy != EXTERNAL and order.session == record.session]
        reserved = {one.symbol: one.reserved_risk_usd for one in book}
        require(all(usd >= 0 for usd in reserved.values()), f"risk reserved below zero: {reserved}")
        require(bool(book) or sum(reserved.values(), ZERO) == ZERO, f"nothing works, and {reserved} is reserved")
        for order in own:
            stop = next((leg.stop_price for leg in tx.children(order.client_order_id) if leg.leg is Leg.STOP), None)
            intent = tx.intent(order.intent_id or "")
            plan = tx.plan(intent.plan_id) if intent else None
            assert plan is not None
            assert stop is not None
            lost = order.leaves_qty * (plan.entry - plan.stop)
            is_alone = sum(one.symbol == order.symbol for one in holdings.working) == 1
            require(
                not is_alone or reserved[order.symbol] == lost,
                f"{order.client_order_id} may lose {lost} USD and reserves {reserved[order.symbol]}",
            )
        if not self.world.busted:
            self._limits_hold(tx, held, own)

    def _limits_hold(self, tx: LedgerTransaction, held: dict[str, Position], own: list[Order]) -> None:
        mine = {p.symbol for p in held.values() if not _is_external(tx, p)}
        symbols = mine | {order.symbol for order in own}
        most = LIMITS["max_open_positions"]
        assert isinstance(most, int)
        require(len(symbols) <= most, f"{len(symbols)} positions and entries of ours, {most} are allowed")

    # nothing on its way

    def _is_at_rest(self, tx: LedgerTransaction, working: list[Order]) -> bool:
        """True when all the venue has said is on record, and nobody is in doubt or unsent."""
        if any(order.status in {OrdStatus.IN_DOUBT, OrdStatus.PENDING_NEW} for order in working):
            return False
        return not self.unheard(tx) and len(tx.cash_activities(ACCOUNT)) == len(self.world.venue._state.activities)

    def unheard(self, tx: LedgerTransaction) -> dict[str, str]:
        """Symbols by order of which the venue has said something that is not on record."""
        state = self.world.venue._state
        said = Counter(report.client_order_id for report in state.reports)
        return {
            name: state.tickets[name].symbol
            for name, count in said.items()
            if _heard(tx, name) != count and not (tx.order(name) is None and _ended_untouched(state.tickets[name]))
        }


SHARES = frozenset({ExecType.TRADE, ExecType.TRADE_CANCEL})


def unheard_trades(tx: LedgerTransaction, world: World) -> dict[str, str]:
    """Symbols by order of which the venue has reported shares, or taken some back, that are not on record.

    A corrected price that comes later than younger reports shows in the cash alone, which is told and does not block
    when it is small.
    """
    state = world.venue._state
    traded = [report for report in state.reports if report.exec_type in SHARES]
    names = {report.client_order_id for report in traded}
    heard = {report.exec_id for name in names for report in tx.reports(name)}
    return {
        report.client_order_id: state.tickets[report.client_order_id].symbol
        for report in traded
        if report.exec_id not in heard
    }


def _heard(tx: LedgerTransaction, name: str) -> int:
    return sum(1 for report in tx.reports(name) if not _is_local(report.exec_id, name))


def _ended_untouched(ticket: Ticket) -> bool:
    """Somebody else's order that came and went between two looks moved nothing."""
    return not ticket.is_open and not ticket.cum_qty


def _is_local(exec_id: str, name: str) -> bool:
    return not exec_id.removeprefix(f"{name}-").isdigit()


def _is_external(tx: LedgerTransaction, position: Position) -> bool:
    opener = tx.order(position.trade_id)
    return opener is None or opener.strategy == EXTERNAL


def one_live_entry(working: list[Order], world: World) -> None:
    """At most one entry of ours lives per symbol, on record and at the venue, and ever one per setup."""
    ours = Counter(o.symbol for o in working if o.leg is Leg.ENTRY and o.strategy != EXTERNAL)
    there = Counter(
        o.symbol for o in world.venue.open_orders() if o.side is Side.BUY and not o.client_order_id.startswith("ext-")
    )
    for live, where in ((ours, "on record"), (there, "at the venue")):
        if world.busted and where == "on record":
            continue
        require(all(count <= 1 for count in live.values()), f"entries live {where}: {dict(live)}")
    with world.ledger.read() as tx:
        unknown = [n for n in world.venue._state.tickets if not n.startswith("ext-") and tx.order(n) is None]
    require(not unknown, f"the venue has orders of ours that are not on record: {unknown}")


def shares_are_the_sum_of_fills(fills: Sequence[Fill], held: dict[str, Position]) -> None:
    """Bought less sold, busts undone, is what is held; never below zero."""
    shares: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        sign = (1 if fill.side is Side.BUY else -1) * (-1 if fill.is_reversal else 1)
        shares[fill.symbol] += sign * fill.quantity
    owned = {symbol: count for symbol, count in shares.items() if count}
    stored = {symbol: position.quantity for symbol, position in held.items()}
    require(owned == stored, f"fills add up to {owned}, positions are {stored}")
    require(all(count > 0 for count in owned.values()), f"a position crossed zero: {owned}")


def money_adds_up(tx: LedgerTransaction, fills: Sequence[Fill], held: dict[str, Position]) -> None:
    """Opening cash, closed trades' net and open positions' results, and cash from fills alone, agree to 0.00."""
    flows = ZERO
    for fill in fills:
        gross = fill.quantity * fill.price * (1 if fill.side is Side.SELL else -1)
        flows += (gross - fill.commission) * (-1 if fill.is_reversal else 1)
    other = sum((one.amount_usd for one in tx.cash_activities(ACCOUNT)), ZERO)
    cash = OPENING_CASH + flows + other
    closed = sum((trade.net_usd for trade in tx.trades(ACCOUNT)), ZERO)
    cost = sum((p.quantity * p.avg_px for p in held.values()), ZERO)
    begun = sum((p.realized_usd - p.commission_usd for p in held.values()), ZERO)
    require(
        abs(OPENING_CASH + other + closed + begun - cost - cash) < CENT / 100,
        f"cash is {cash}; {OPENING_CASH} + {other} + closed {closed} + begun {begun} - cost {cost} is not",
    )
    records = tx.session_records(ACCOUNT)
    if records:
        recorded = recorded_cash(tx, records[-1])
        require(recorded == cash, f"cash on record {recorded}, from all fills {cash}")


def fills_have_a_cause(tx: LedgerTransaction, fills: Sequence[Fill]) -> None:
    """Every fill hangs on an order, every order on an intent, on somebody else, or on a position of somebody else."""
    for fill in fills:
        order = tx.order(fill.client_order_id)
        require(order is not None, f"fill {fill.exec_id} has no order")
        assert order is not None
        if order.intent_id is None:
            require(
                order.strategy == EXTERNAL or order.side is Side.SELL,
                f"fill {fill.exec_id} of {order.client_order_id} has no intent",
            )
        else:
            require(tx.intent(order.intent_id) is not None, f"fill {fill.exec_id} has no intent on record")


def sales_are_of_what_is_held(world: World) -> None:
    """What open sells at the venue may still sell is never more than is held there."""
    working = world.venue.open_orders()
    waiting = {o.client_order_id: o.quantity - o.cum_qty for o in working if o.side is Side.BUY}
    groups: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for order in working:
        if order.side is Side.SELL:
            name = order.parent_id or order.client_order_id
            group = (order.symbol, name)
            groups[group] = max(groups[group], order.quantity - order.cum_qty - waiting.get(name, ZERO))
    for symbol in {symbol for symbol, _ in groups}:
        on_sale = sum((shares for (of, _), shares in groups.items() if of == symbol), ZERO)
        held = world.venue._state.holdings[symbol].quantity if symbol in world.venue._state.holdings else ZERO
        require(on_sale <= held, f"{on_sale} {symbol} are on sale at the venue, {held} are held")


def record_is_the_venue(tx: LedgerTransaction, world: World, held: dict[str, Position]) -> None:
    """At rest both sides have the same shares, cash and orders, and no sell is for more than is held."""
    there = {one.symbol: one.quantity for one in world.venue.positions()}
    here = {symbol: position.quantity for symbol, position in held.items()}
    require(here == there, f"held on record {here}, at the venue {there}")
    records = tx.session_records(ACCOUNT)
    if records:
        ours, theirs = recorded_cash(tx, records[-1]), world.venue.account().cash_usd
        require(ours == theirs, f"cash on record {ours}, at the venue {theirs}")
    for symbol, position in held.items():
        working = [order for order in tx.open_orders(ACCOUNT) if order.symbol == symbol]
        cover = cover_of(position.quantity, working)
        require(
            cover.on_sale <= position.quantity,
            f"{symbol}: {cover.on_sale} shares are for sale, {position.quantity} are held",
        )
    live = {order.client_order_id for order in world.venue.open_orders()}
    ours_open = {order.client_order_id for order in tx.open_orders(ACCOUNT)}
    require(live == ours_open, f"open only on record: {ours_open - live}; only at the venue: {live - ours_open}")
