"""What others do at the venue behind our back, and what the venue takes back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.executions import executions, in_order
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import (
    ExecType,
    ExecutionReport,
    Leg,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.state import Holding
from trading_pipeline_tests.machine.world import World


def trade(world: World, symbol: str, side: Side, shares: int, *, patient: bool) -> bool:
    """Somebody orders at the venue without us; patient: at a limit that may never fill."""
    world.numbers += 1
    quote = world.tape.last.get(symbol)
    if quote is None:
        return False
    limit = (quote.price * Decimal("0.97" if side is Side.BUY else "1.03")).quantize(Decimal("0.01"))
    request = OrderRequest(
        client_order_id=f"ext-{world.numbers}", symbol=symbol, side=side, quantity=Decimal(shares),
        order_type=OrderType.LIMIT if patient else OrderType.MARKET, limit_price=limit if patient else None,
        leg=Leg.ENTRY if side is Side.BUY else Leg.EXIT, time_in_force=TimeInForce.DAY,
    )  # fmt: skip
    try:
        world.venue.submit(request, world.clock.now())
    except OrderRefused:
        return False
    world.meddled.add(symbol)
    return True


def cancel(world: World, number: int) -> bool:
    """Somebody cancels one of the working orders at the venue."""
    working = world.venue.open_orders()
    if not working:
        return False
    chosen = working[number % len(working)]
    world.meddled.add(chosen.symbol)
    world.venue.cancel(chosen.client_order_id, world.clock.now())
    return True


def held_executions(world: World) -> list[ExecutionReport]:
    """Trades that hold as they were reported, oldest first."""
    said = in_order(world.venue._state.reports)
    touched = {report.ref_exec_id for report in said if report.ref_exec_id}
    return [held for exec_id, held in executions(said).items() if exec_id not in touched]


def bust(world: World, number: int) -> bool:
    """The venue takes one of its newest executions back: shares and cash as if it had not been.

    A bust of a purchase ends the sells of its symbol: they were for shares that are not there. The order it was about
    is not reinstated.
    """
    held = held_executions(world)[-8:]
    if not held:
        return False
    gone = held[number % len(held)]
    with world.venue._change() as book:
        ticket = book.tickets[gone.client_order_id]
        if ticket.is_buy and book.holding(ticket.symbol).quantity < gone.last_qty:
            return False
        _move(book, gone, -1)
        world.busted.add(gone.client_order_id)
        world.meddled.add(ticket.symbol)
        book.put(replace(ticket, cum_qty=ticket.cum_qty - gone.last_qty))
        book.report(
            ticket, ExecType.TRADE_CANCEL, world.clock.now(), last_qty=gone.last_qty, last_px=gone.last_px,
            commission=gone.commission, ref_exec_id=gone.exec_id,
        )  # fmt: skip
        _end_what_it_was_for(book, world, ticket.client_order_id, ticket.symbol, is_buy=ticket.is_buy)
    return True


def _end_what_it_was_for(book: Book, world: World, name: str, symbol: str, *, is_buy: bool) -> None:
    now, ticket = world.clock.now(), book.tickets[name]
    if ticket.status is OrdStatus.FILLED:
        book.put(replace(ticket, status=OrdStatus.CANCELED))
        book.report(ticket, ExecType.CANCELED, now, text="its execution was taken back; it is not reinstated")
    elif is_buy:
        book.end(ticket, ExecType.CANCELED, now, "an execution of it was taken back")
    for other in list(book.working(symbol)) if is_buy else ():
        if not other.is_buy:
            book.end(book.tickets[other.client_order_id], ExecType.CANCELED, now, "what it sells was taken back")


def correct(world: World, number: int, cents: int) -> bool:
    """The venue corrects the price of one of its newest executions."""
    held = held_executions(world)[-8:]
    if not held or not cents:
        return False
    wrong = held[number % len(held)]
    right = replace(wrong, last_px=wrong.last_px + Decimal(cents) / 100)
    with world.venue._change() as book:
        ticket = book.tickets[wrong.client_order_id]
        if ticket.is_buy and book.holding(ticket.symbol).quantity < wrong.last_qty:
            return False
        _move(book, wrong, -1)
        _move(book, right, +1)
        world.busted.add(wrong.client_order_id)
        world.meddled.add(ticket.symbol)
        book.report(
            ticket, ExecType.TRADE_CORRECT, world.clock.now(), last_qty=right.last_qty, last_px=right.last_px,
            commission=right.commission, ref_exec_id=wrong.exec_id,
        )  # fmt: skip
    return True


def _move(book: Book, execution: ExecutionReport, sign: int) -> None:
    """An execution's shares and cash, once more or once less."""
    ticket = book.tickets[execution.client_order_id]
    bought = (1 if ticket.is_buy else -1) * sign * execution.last_qty
    book.cash_usd -= bought * execution.last_px + sign * execution.commission
    held = book.holding(ticket.symbol)
    left = held.quantity + bought
    cost = held.cost_usd + bought * execution.last_px if left else ZERO
    book.holdings[ticket.symbol] = Holding(ticket.symbol, left, max(cost, ZERO))
