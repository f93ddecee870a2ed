"""The trading journal and open positions, written from the record alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from trading_pipeline.domain.fold import fold, mark, open_risk_usd, r_now, unrealized_usd
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.money import ZERO, average_price, cost_of, plain, to_ratio
from trading_pipeline.domain.orders import Fill, Leg, Order
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.reports import JournalEntry, PositionView
from trading_pipeline.domain.setups import Setup, TradePlan
from trading_pipeline.domain.trades import round_trip_id
from trading_pipeline.ports import LedgerTransaction


def plan_of(tx: LedgerTransaction, order: Order | None) -> TradePlan | None:
    """The plan an order goes back to; None when the order was not ours."""
    intent = tx.intent(order.intent_id) if order and order.intent_id else None
    return tx.plan(intent.plan_id) if intent else None


def setup_of(tx: LedgerTransaction, plan: TradePlan | None) -> Setup | None:
    """The setup a plan was made of."""
    return tx.setup(plan.setup_id) if plan else None


def write_journal(tx: LedgerTransaction, account: str, session: date) -> tuple[JournalEntry, ...]:
    """The session's entries (as filled) and exits (as closed), oldest first."""
    fills: dict[str, list[Fill]] = {}
    for fill in tx.fills(account, session=session):
        fills.setdefault(fill.client_order_id, []).append(fill)
    orders = ((tx.order(order_id), parts) for order_id, parts in fills.items())
    entries = [_entry(tx, order, parts) for order, parts in orders if order and order.leg is Leg.ENTRY]
    exits = [_exit(trade) for trade in tx.trades(account, session, session)]
    return tuple(sorted([*entries, *exits], key=lambda entry: (entry.at, entry.symbol, entry.kind)))


def _entry(tx: LedgerTransaction, order: Order, fills: list[Fill]) -> JournalEntry:
    plan = plan_of(tx, order)
    setup = setup_of(tx, plan)
    quantity = sum((fill.quantity for fill in fills), ZERO)
    price = average_price(sum((fill.quantity * fill.price for fill in fills), ZERO), quantity)
    levels = f"; stop {plain(plan.stop)}, {_target(plan)}. {plan.entry_reason}." if plan else "; no plan."
    return JournalEntry(
        at=fills[0].executed_at, kind="entry", symbol=order.symbol,
        text=f"Bought {plain(quantity)} {order.symbol} at {_price(price)}{levels}",
        score=setup.score if setup else None, state=setup.state if setup else "", grade=setup.grade if setup else "",
    )  # fmt: skip


def _target(plan: TradePlan) -> str:
    return "no target" if plan.target is None else f"target {plain(plan.target)}"


def _exit(trade: Trade) -> JournalEntry:
    text = _amended(trade) if round_trip_id(trade.trade_id) != trade.trade_id else _sold(trade)
    return JournalEntry(trade.exit_at, "exit", trade.symbol, text, trade.score, trade.state, trade.grade)


def _sold(trade: Trade) -> str:
    r = "no initial risk" if trade.r_multiple is None else f"{trade.r_multiple:+.2f} R"
    entered = f"Entered as {trade.entry_reason}." if trade.entry_reason else "Nothing was planned for it here."
    return (
        f"Sold {plain(trade.quantity)} {trade.symbol} at {_price(trade.exit_px)} ({trade.exit_reason.value}): "
        f"net {trade.net_usd:+,.2f} USD, {r} after {plain(trade.commission_usd)} USD commission. {entered}"
    )


def _amended(trade: Trade) -> str:
    return (
        f"{trade.symbol}: the venue's later word changes the trade {round_trip_id(trade.trade_id)} by "
        f"{trade.quantity:+f} shares and {trade.net_usd:+,.2f} USD net."
    )


def _price(price: Decimal) -> str:
    """Cents, or four digits where there are sub-pennies."""
    return f"{price:.4f}".removesuffix("00")


def held_at_close(tx: LedgerTransaction, account: str, session: date) -> tuple[Position, ...]:
    """Positions open at the end of a session, by symbol, not yet priced.

    From the fills up to the session, so that a past session reads the same today as on its day; with the stops stored
    while nothing was traded since, else the planned ones.
    """
    stored = {position.trade_id: position for position in tx.positions(account)}
    fills = [fill for fill in tx.fills(account) if fill.session <= session]
    splits = [split for split in tx.splits(account) if split.ex_date <= session]
    held = (position for position in fold(fills, splits).values() if position.is_open)
    return tuple(_with_levels(tx, position, stored.get(position.trade_id)) for position in held)


def view_positions(
    tx: LedgerTransaction, positions: Iterable[Position], last: dict[str, Quote]
) -> tuple[PositionView, ...]:
    """Each position at its symbol's last price."""
    return tuple(view_position(tx, _priced(position, last)) for position in positions)


def _with_levels(tx: LedgerTransaction, held: Position, stored: Position | None) -> Position:
    plan = plan_of(tx, tx.order(held.trade_id))
    initial = plan.stop if plan else None
    is_same = stored is not None and stored.quantity == held.quantity
    return replace(
        held,
        initial_stop=initial,
        stop=stored.stop if stored and is_same else initial,
        target=plan.target if plan else None,
    )


def _priced(position: Position, last: dict[str, Quote]) -> Position:
    quote = last.get(position.symbol)
    return mark(position, quote.price, quote.quoted_at) if quote else position


def current_positions(tx: LedgerTransaction, account: str) -> tuple[PositionView, ...]:
    """Positions open now, by symbol, as last marked."""
    return tuple(view_position(tx, position) for position in tx.positions(account))


def view_position(tx: LedgerTransaction, position: Position) -> PositionView:
    """A position with its open P&L, R and the setup it came from."""
    plan = plan_of(tx, tx.order(position.trade_id))
    setup = setup_of(tx, plan)
    gain, cost = unrealized_usd(position), cost_of(position.quantity, position.avg_px)
    r = r_now(position, position.mark) if position.mark is not None else None
    return PositionView(
        symbol=position.symbol, trade_id=position.trade_id, opened_at=position.opened_at, entry_px=position.avg_px,
        quantity=position.quantity, stop=position.stop, target=position.target, price=position.mark,
        priced_at=position.marked_at,
        unrealized_usd=gain, unrealized_fraction=to_ratio(gain / cost) if cost else ZERO,
        r_multiple=to_ratio(r) if r is not None else None,
        open_risk_usd=open_risk_usd(position), score=setup.score if setup else None,
        state=setup.state if setup else "", entry_reason=plan.entry_reason if plan else "",
    )  # fmt: skip


def total_open_risk(positions: Iterable[PositionView]) -> Decimal:
    """USD lost if every stop is hit."""
    return sum((position.open_risk_usd for position in positions), ZERO)
