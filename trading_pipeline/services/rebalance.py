"""Two-phase rebalancing: all sells first, then, once they are filled or time is up, buys within what they freed.

An execution belongs to one recorded set of signals and is decided once. Where it stands is read from the ledger at
each step, and the ids of all it writes follow from the signals: a process that dies at any instruction goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import Leg, Order
from trading_pipeline.domain.planning import PlanRefusal, plan_target
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.risk import RiskBook
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.targets import Move, Signal, Target, targets
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.book import quote_or_none, read_book
from trading_pipeline.services.care.asking import ask_cancel, is_external
from trading_pipeline.services.care.exits import is_leaving
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import decide_plan, digest, refusal_event, with_quote
from trading_pipeline.services.modes.terms import under
from trading_pipeline.services.reductions import pending_reduction, reduce_position

PLANNED, FINISHED = "rebalance_planned", "rebalance_finished"
ROWS_ON_RECORD = 500
"""Rows without an order that an execution keeps in words; the others are counted."""
Quotes = Callable[[Iterable[str]], Mapping[str, Quote]]


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as it was planned: its targets in order, and the trades they were to sell from."""

    event: RiskEvent
    targets: tuple[Target, ...]
    trade_ids: Mapping[str, str]

    def of(self, move: Move) -> list[Target]:
        """Targets of one phase."""
        return [target for target in self.targets if target.move is move]


def desk_of(desk: Desk, snapshot: ScanSnapshot) -> Desk:
    """The desk under the strategy of the signals: their orders are kept apart from the watchlists'."""
    return replace(desk, rules=desk.rules.model_copy(update={"strategy": snapshot.source}))


def event_id(desk: Desk, snapshot: ScanSnapshot, kind: str) -> str:
    """Identity of the beginning or the end of an execution."""
    return digest(kind, desk.account, snapshot.snapshot_id)


def is_over(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> bool:
    """True when the execution of these signals has nothing left to do."""
    return tx.risk_event(event_id(desk, snapshot, FINISHED)) is not None


def advance(desk: Desk, snapshot: ScanSnapshot, times: SessionTimes, quotes: Quotes) -> int:
    """Take an execution as far as it goes now: plan it, sell, and when the sells are done or too late, buy.

    quotes: last prices by symbol. Returns how many orders were asked to make room for a sale: once that is reported,
    a repeat writes the sale. What is written is sent by the next dispatch.
    """
    desk = desk_of(desk, snapshot)
    execution = _planned(desk, snapshot, times, quotes)
    if execution is None:
        return 0
    asked = _sell(desk, snapshot, times, execution, quotes)
    if (asked == 0 and _is_sold(desk, execution)) or _is_late(desk, execution):
        _buy(desk, snapshot, times, execution, quotes)
    return asked


def supersede(desk: Desk, old: ScanSnapshot, by: ScanSnapshot) -> None:
    """End an execution that newer signals have overtaken: sells in flight go on, buys are not made any more."""
    desk = desk_of(desk, old)
    with desk.ledger.transaction() as tx:
        if tx.risk_event(event_id(desk, old, PLANNED)) is None or is_over(desk, tx, old):
            return
        tx.add_risk_event(_event(desk, old, FINISHED, f"overtaken by signals of {by.as_of.isoformat()}", {}))


# --- the plan


def read_execution(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> Execution | None:
    """The execution as it was planned; None when it was not."""
    event = tx.risk_event(event_id(desk, snapshot, PLANNED))
    if event is None:
        return None
    rows = json.loads(event.data["rows"])
    return Execution(
        event, tuple(_target(row) for row in rows), {row["symbol"]: row["trade_id"] for row in rows if row["trade_id"]}
    )


def _planned(desk: Desk, snapshot: ScanSnapshot, times: SessionTimes, quotes: Quotes) -> Execution | None:
    """The execution, planned now unless it was before; None when it is over."""
    with desk.ledger.read() as tx:
        if is_over(desk, tx, snapshot):
            return None
        known = read_execution(desk, tx, snapshot)
        symbols = [] if known else [setup.symbol for setup in tx.setups(snapshot.snapshot_id)]
    if known is not None:
        return known
    prices = quotes(symbols)
    with desk.ledger.transaction() as tx:
        tx.add_risk_event(_plan(desk, tx, snapshot, times, prices))
        return read_execution(desk, tx, snapshot)


def _plan(
    desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot, times: SessionTimes, prices: Mapping[str, Quote]
) -> RiskEvent:
    book = read_book(desk, tx, snapshot, times, desk.clock.now())
    desk = under(desk, tx, snapshot.session, book.equity_usd)
    setups = {setup.symbol: setup for setup in tx.setups(snapshot.snapshot_id)}
    held = {position.symbol: position for position in tx.positions(desk.account)}
    locked = {symbol: why for symbol, p in held.items() if (why := _locked(desk, tx, times, p)) and symbol in setups}
    signals = [
        _signal(setup, held.get(symbol), book, prices) for symbol, setup in setups.items() if symbol not in locked
    ]
    found = targets(
        signals, equity_usd=book.equity_usd, other_usd=_other_usd(book, {signal.symbol for signal in signals}),
        rules=desk.rules.rebalance, limits=desk.rules.risk,
    )  # fmt: skip
    found += tuple(_refused(setups[symbol], held[symbol], why) for symbol, why in sorted(locked.items()))
    return _planned_event(desk, snapshot, found, held)


def _locked(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> str:
    """Why a position is left alone whatever its signal; empty when it is not."""
    if is_external(tx, position):
        return "adopted from the venue: not ours to change"
    if is_leaving(tx, position):
        return "an exit is in flight"
    return "a reduction is in flight" if pending_reduction(desk, tx, times, position) else ""


def _refused(setup: Setup, position: Position, why: str) -> Target:
    return Target(
        symbol=setup.symbol, strength=setup.score / 100, held=position.quantity, target=position.quantity, change=ZERO,
        move=Move.REFUSED, bound_by="", reason=why,
    )  # fmt: skip


def _signal(setup: Setup, position: Position | None, book: RiskBook, prices: Mapping[str, Quote]) -> Signal:
    price, _ = quote_or_none(dict(prices), setup.symbol)
    working = (held for held in book.exposures if held.symbol == setup.symbol and held.is_working)
    return Signal(
        symbol=setup.symbol, strength=_strength(setup), atr=Decimal(repr(setup.atr)) if setup.atr > 0 else None,
        price=price, held=position.quantity if position else ZERO,
        committed=sum((entry.quantity for entry in working), ZERO),
    )  # fmt: skip


def _strength(setup: Setup) -> float:
    return float(str(setup.details["strength"]))


def _other_usd(book: RiskBook, symbols: set[str]) -> Decimal:
    """USD in positions and working entries of symbols without a signal: they stay as they are."""
    return sum((held.quantity * held.price for held in book.exposures if held.symbol not in symbols), ZERO)


def _planned_event(
    desk: Desk, snapshot: ScanSnapshot, found: Sequence[Target], held: Mapping[str, Position]
) -> RiskEvent:
    with_order = [target for target in found if target.move in {Move.SELL, Move.BUY}]
    others = [target for target in found if target.move not in {Move.SELL, Move.BUY}]
    kept = [*with_order, *others[:ROWS_ON_RECORD]]
    rows = [_row(target, held.get(target.symbol)) for target in kept]
    sells = sum(target.move is Move.SELL for target in with_order)
    message = f"{len(found)} signals: {sells} to sell, {len(with_order) - sells} to buy, {len(others)} without an order"
    data = {"rows": json.dumps(rows), "left_out": str(len(found) - len(kept)), "signals": str(len(found))}
    return _event(desk, snapshot, PLANNED, message if with_order else f"holding: {message}", data)


def _row(target: Target, position: Position | None) -> dict[str, str]:
    return {
        "symbol": target.symbol, "strength": repr(target.strength), "held": plain(target.held),
        "target": plain(target.target), "change": plain(target.change), "move": target.move.value,
        "bound_by": target.bound_by, "reason": target.reason, "trade_id": position.trade_id if position else "",
    }  # fmt: skip


def _target(row: Mapping[str, str]) -> Target:
    return Target(
        symbol=row["symbol"], strength=float(row["strength"]), held=Decimal(row["held"]),
        target=Decimal(row["target"]), change=Decimal(row["change"]), move=Move(row["move"]),
        bound_by=row["bound_by"], reason=row["reason"],
    )  # fmt: skip


def _event(desk: Desk, snapshot: ScanSnapshot, kind: str, message: str, data: Mapping[str, str]) -> RiskEvent:
    return RiskEvent(
        event_id=event_id(desk, snapshot, kind), account=desk.account, session=snapshot.session,
        occurred_at=desk.clock.now(), kind=kind, severity="INFO", message=message,
        data={"snapshot_id": snapshot.snapshot_id, **data},
    )  # fmt: skip


# --- phase 1


def _sell(desk: Desk, snapshot: ScanSnapshot, times: SessionTimes, execution: Execution, quotes: Quotes) -> int:
    """Carry every sale on by one step, and end working entries in symbols that are to be sold or not bought."""
    due = execution.of(Move.SELL)
    with desk.ledger.read() as tx:
        held = {position.trade_id: position for position in tx.positions(desk.account)}
        entries = [order for order in tx.open_orders(desk.account) if order.leg is Leg.ENTRY]
        setups = {setup.symbol: setup for setup in tx.setups(snapshot.snapshot_id)} if due else {}
    prices = quotes([target.symbol for target in due]) if due else {}
    asked = sum(_ask_to_end(desk, entry, execution) for entry in entries)
    for target in due:
        position = held.get(execution.trade_ids[target.symbol])
        if position is not None and position.quantity > target.target:
            symbol, shares = target.symbol, min(-target.change, position.quantity)
            asked += reduce_position(desk, times, position, setups[symbol], shares, prices.get(symbol))
    return asked


def _ask_to_end(desk: Desk, entry: Order, execution: Execution) -> bool:
    """Cancel an entry older than the execution whose symbol its signals do not want any more of."""
    unwanted = {t.symbol for t in execution.targets if t.strength <= 0 or t.move is Move.SELL}
    is_older = entry.created_at < execution.event.occurred_at and entry.status.value in {"New", "PartiallyFilled"}
    return is_older and entry.symbol in unwanted and ask_cancel(desk, entry)


def _is_sold(desk: Desk, execution: Execution) -> bool:
    with desk.ledger.read() as tx:
        held = {position.trade_id: position.quantity for position in tx.positions(desk.account)}
    sales = ((execution.trade_ids[target.symbol], target.target) for target in execution.of(Move.SELL))
    return all(held.get(trade_id, ZERO) <= goal for trade_id, goal in sales)


def _is_late(desk: Desk, execution: Execution) -> bool:
    limit = timedelta(seconds=desk.rules.rebalance.sell_timeout_seconds)
    return desk.clock.now() - execution.event.occurred_at >= limit


# --- phase 2


def _buy(desk: Desk, snapshot: ScanSnapshot, times: SessionTimes, execution: Execution, quotes: Quotes) -> None:
    """Decide on every purchase, the strongest first, on a book read anew; all rows commit together, with the end."""
    due = execution.of(Move.BUY)
    prices = quotes([target.symbol for target in due]) if due else {}
    is_sold = _is_sold(desk, execution)
    with desk.ledger.transaction() as tx:
        if is_over(desk, tx, snapshot):
            return
        if due:
            _decide(desk, tx, snapshot, times, execution, prices)
        words = "sells filled" if is_sold else "sells not filled in time: bought within what is free"
        tx.add_risk_event(_event(desk, snapshot, FINISHED, words, {"in_time": "yes" if is_sold else "no"}))


def _decide(
    desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot, times: SessionTimes, execution: Execution,
    prices: Mapping[str, Quote],
) -> None:  # fmt: skip
    setups = {setup.symbol: setup for setup in tx.setups(snapshot.snapshot_id)}
    book = read_book(desk, tx, snapshot, times, desk.clock.now())
    desk = under(desk, tx, snapshot.session, book.equity_usd)
    book = replace(book, orders_this_execution=len(execution.of(Move.SELL)))
    for target in execution.of(Move.BUY):
        have = sum((held.quantity for held in book.exposures if held.symbol == target.symbol), ZERO)
        book = with_quote(book, prices, target.symbol)
        book = _decide_one(desk, tx, setups[target.symbol], target.target - have, book)


def _decide_one(desk: Desk, tx: LedgerTransaction, setup: Setup, change: Decimal, book: RiskBook) -> RiskBook:
    plan = plan_target(
        setup, price=book.quote or ZERO, change=change,
        stop_distance=desk.rules.rebalance.stop_atr * Decimal(repr(setup.atr)), limits=desk.rules.risk,
        rules=desk.rules.plan, account=desk.account, strategy=desk.strategy, planned_at=book.now,
    )  # fmt: skip
    if isinstance(plan, PlanRefusal):
        tx.add_risk_event(refusal_event(desk, setup, plan, book.now))
        return book
    return decide_plan(desk, tx, plan, setup, book)[0]
