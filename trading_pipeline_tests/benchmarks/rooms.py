"""Rooms for the trading benchmarks: a ledger, a broker and a book as full as a busy day makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import AnyRequest, Fill, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import Broker, Ledger, LedgerTransaction
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.dispatch import request_of
from trading_pipeline.services.opening import opening_record
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.venue.engine import CAPABILITIES, SimulatedVenue
from trading_pipeline_tests.builders import an_order, dec
from trading_pipeline_tests.services.scripted import FREE, OPENS, TIMES, a_bar, minute, rules, write_regime

SHARES, ENTRY, STOP, TARGET = dec(10), dec("50.00"), dec("48.00"), dec("56.00")
RICH = FREE.model_copy(update={"initial_cash_usd": dec(10_000_000)})
WIDE: dict[str, Any] = {
    "max_open_positions": 1000, "max_orders_per_day": 10_000,
    "max_open_risk_fraction": "1",
}  # fmt: skip
"""Limits that let a busy day through: what is measured is the work, not its refusal."""


def symbol_of(number: int) -> str:
    return f"S{number:04d}"


class InstantBroker:
    """A venue that takes every order at once and reports nothing. Implements what dispatching needs of Broker."""

    name, capabilities = "instant", CAPABILITIES

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, _request: AnyRequest) -> str:
        self.taken += 1
        return f"v-{self.taken}"


@dataclass
class CountingBroker:
    """Any broker, its calls counted by name."""

    broker: Broker
    calls: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.broker, name)
        if callable(found):
            self.calls[name] += 1
        return found


@dataclass
class Room:
    """One account's desk and its started session; the clock stands where `wait` last put it."""

    desk: Desk
    record: SessionRecord
    calls: Counter[str]

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.desk.clock.sleep_until(self.desk.clock.now() + timedelta(seconds=seconds))


def empty_ledger(folder: Path, name: str) -> SqlLedger:
    """A new ledger on disk, with a regime that allows entries."""
    url = default_url(folder / name)
    ledger = SqlLedger.open(url)
    with_regimes(ledger)
    return ledger


def with_regimes(ledger: Ledger) -> None:
    """Friendly regimes all day."""
    for at in range(0, 120, 30):
        write_regime(ledger, at=at, score=75.0, multiplier=1.0, positions_allowed=1000)


def a_room(ledger: Ledger, broker: object, account: str, clock: ReplayClock, **settings: Any) -> Room:
    """A desk of an account with 10 million USD whose session is on record."""
    counting = CountingBroker(cast("Broker", broker))
    desk = Desk(
        ledger=ledger, broker=cast("Broker", counting), clock=clock,
        rules=rules(account=account, risk=WIDE, initial_cash_usd=RICH.initial_cash_usd, **settings),
        provenance=Provenance(code_version="1", config_hash="c"),
        base_bar_minutes=5,
    )  # fmt: skip
    with ledger.transaction() as tx:
        record = opening_record(desk, tx, TIMES)
        tx.save_session_record(record)
    return Room(desk, record, counting.calls)


def venue_room(ledger: Ledger, account: str) -> tuple[Room, ReplayClock]:
    """A room at a simulated venue of its own, at minute 15, and its clock."""
    clock = ReplayClock(minute(15))
    return a_room(ledger, SimulatedBroker(_venue(account), clock), account, clock), clock


def _venue(account: str) -> SimulatedVenue:
    return SimulatedVenue(None, RICH.model_copy(update={"account": account}))


def bracket(account: str, number: int, at: int = 15) -> tuple[Order, Order, Order]:
    """An entry with its stop and target, none of them sent."""
    entry = an_order(
        client_order_id=f"{account}-{number}", intent_id=None, account=account, session=TIMES.session,
        symbol=symbol_of(number), quantity=SHARES, limit_price=ENTRY, status=OrdStatus.PENDING_NEW,
        created_at=minute(at), updated_at=minute(at),
    )  # fmt: skip
    leg = replace(entry, side=Side.SELL, parent_id=entry.client_order_id, limit_price=None)
    stop = replace(
        leg, client_order_id=f"{account}-{number}-stop", leg=Leg.STOP, order_type=OrderType.STOP, stop_price=STOP
    )
    target = replace(leg, client_order_id=f"{account}-{number}-target", leg=Leg.TARGET, limit_price=TARGET)
    return entry, stop, target


def send(room: Room, orders: Sequence[tuple[Order, Order, Order]]) -> None:
    """Put brackets on record as claimed, and give them to the venue; its reports are applied later."""
    now = room.desk.clock.now()
    with room.desk.ledger.transaction() as tx:
        for order in (leg for one in orders for leg in one):
            tx.add_order(order)
            tx.claim_order(order.client_order_id, "loop", 0)
            tx.save_order(replace(order, submitted_at=now))
    for entry, stop, target in orders:
        room.desk.broker.submit(request_of(entry, {Leg.STOP: stop, Leg.TARGET: target}))


def holding(ledger: Ledger, account: str, positions: int, **settings: Any) -> Room:
    """A room that holds so many positions, each under its bracket's stop and target, at minute 20."""
    venue, clock = _venue(account), ReplayClock(minute(15))
    room = a_room(ledger, SimulatedBroker(venue, clock), account, clock, **settings)
    send(room, [bracket(account, number) for number in range(positions)])
    bars = [a_bar(20, ENTRY, low="49.90", symbol=symbol_of(number)) for number in range(positions)]
    clock.sleep_until(minute(20))
    venue.on_bars(bars, minute(20))
    sync_orders(room.desk, TIMES.session, OPENS)
    return room


def quotes(room: Room, positions: int, risen: Iterator[int] | Sequence[int] = (), step: int = 0) -> dict[str, Quote]:
    """A new price of every position, a little off its entry; `risen` stand two initial risks higher."""
    now, high = room.desk.clock.now(), frozenset(risen)
    found = {}
    for number in range(positions):
        price = ENTRY + Decimal((number + step) % 7) / 100 + (4 if number in high else 0)
        found[symbol_of(number)] = Quote(symbol_of(number), price, now)
    return found


def fill_the_book(tx: LedgerTransaction, room: Room, positions: int, orders: int) -> None:
    """Positions, closed round trips and the day's orders, straight onto the record, in no symbol of a watchlist."""
    for number in range(5000, 5000 + orders // 3):
        entry, stop, target = bracket(room.desk.account, number, at=5)
        is_held = number < 5000 + positions
        _put(tx, entry, OrdStatus.FILLED)
        _put(tx, stop, OrdStatus.NEW if is_held else OrdStatus.CANCELED)
        _put(tx, target, OrdStatus.NEW if is_held else OrdStatus.FILLED)
        if is_held:
            tx.save_position(_position(entry))


def _put(tx: LedgerTransaction, order: Order, status: OrdStatus) -> None:
    tx.add_order(order)
    tx.claim_order(order.client_order_id, "loop", 0)
    now, is_filled = minute(6), status is OrdStatus.FILLED
    venue_order_id, filled = f"v-{order.client_order_id}", order.quantity if is_filled else ZERO
    tx.save_order(
        replace(
            order, status=status, submitted_at=order.created_at, updated_at=now, venue_order_id=venue_order_id,
            cum_qty=filled, avg_px=order.limit_price or ZERO if is_filled else ZERO,
        )
    )  # fmt: skip
    if is_filled:
        tx.add_fill(
            Fill(
                broker="instant", exec_id=f"x-{order.client_order_id}", client_order_id=order.client_order_id,
                account=order.account, session=order.session, symbol=order.symbol, side=order.side,
                quantity=order.quantity, price=order.limit_price or ENTRY, commission=ZERO, executed_at=now,
            )
        )  # fmt: skip


def _position(entry: Order) -> Position:
    return Position(
        account=entry.account, symbol=entry.symbol, trade_id=entry.client_order_id, quantity=SHARES, avg_px=ENTRY,
        opened_at=minute(6), bought_qty=SHARES, initial_stop=STOP, stop=STOP, target=TARGET, mark=ENTRY,
        marked_at=minute(14),
    )  # fmt: skip
