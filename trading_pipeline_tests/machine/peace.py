"""After a time without faults nothing is open any more: no doubt, no difference, no share bare without an alarm."""

from __future__ import annotations

from datetime import timedelta

from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.domain.protection import cover_of
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline_tests.machine import acts
from trading_pipeline_tests.machine.laws import Laws, unheard_trades
from trading_pipeline_tests.machine.socket import require
from trading_pipeline_tests.machine.world import ACCOUNT, BARS, World

ALARMS = frozenset({"unprotected", "unprotected_overnight", "sale_without_shares"})
A_WHILE = timedelta(seconds=7)
EXCUSES = frozenset({"sale_without_shares", "reconcile_break", "unknown_order"})


def settle(world: World, laws: Laws) -> None:
    """Calm the world, let the loop work in peace, and require that everything comes to rest and is protected."""
    if world.is_closed or world.done >= BARS - 2:
        return
    acts.calm(world)
    world.fuse.burns_at = 0
    acts.resume(world)
    for _ in range(5):
        world.clock.sleep_until(world.clock.now() + A_WHILE)
        world.run(lambda record: world.loop.cycle.attend(record, world.loop._quotes))
        world.run(lambda _: world.loop.cycle.reconciler.reconnected())
        laws.check()
    with world.ledger.read() as tx:
        _require_peace(tx, world)


def _require_peace(tx: LedgerTransaction, world: World) -> None:
    """What nobody else touched is as the venue has it; what somebody did is, or a person has been told."""
    working, held = list(tx.open_orders(ACCOUNT)), list(tx.positions(ACCOUNT))
    events = [e for record in tx.session_records(ACCOUNT) for e in tx.risk_events(ACCOUNT, record.session)]
    doubted = [order.client_order_id for order in working if order.status is OrdStatus.IN_DOUBT]
    require(not doubted, f"still in doubt after peace: {doubted}")
    unheard = unheard_trades(tx, world)
    missed = sorted(name for name, symbol in unheard.items() if symbol not in world.meddled)
    require(not missed, f"reports are still not on record after peace: {missed}")
    last = tx.last_reconciliation(ACCOUNT)
    found = [one for one in (*last.breaks, *last.suspected) if one.blocks] if last else []
    told = {one.symbol for one in last.breaks} if last else set()
    alarmed = {event.data.get("trade_id") for event in events if event.kind in ALARMS}
    quiet = {name for name, symbol in unheard.items() if symbol not in told and not _is_put_off(events, symbol, name)}
    require(not quiet, f"reports are not on record and nobody was told: {quiet}")
    explained = world.meddled | {position.symbol for position in held if position.trade_id in alarmed}
    left = [one.words for one in found if one.symbol and one.symbol not in explained]
    require(not left, f"still different after peace: {left}")
    _same_on_both_sides(tx, world)
    for position in held:
        cover = cover_of(position.quantity, [order for order in working if order.symbol == position.symbol])
        require(
            not cover.bare or position.trade_id in alarmed,
            f"{cover.bare} of {position.quantity} {position.symbol} are bare and nobody was told",
        )


def _same_on_both_sides(tx: LedgerTransaction, world: World) -> None:
    """Shares and working orders of every symbol that nobody else has touched."""
    mine = {
        (o.client_order_id, o.quantity, o.cum_qty) for o in tx.open_orders(ACCOUNT) if o.symbol not in world.meddled
    }
    theirs = {
        (o.client_order_id, o.quantity, o.cum_qty) for o in world.venue.open_orders() if o.symbol not in world.meddled
    }
    require(mine == theirs, f"after peace only on record: {mine - theirs}, only at the venue: {theirs - mine}")
    here = {p.symbol: p.quantity for p in tx.positions(ACCOUNT) if p.symbol not in world.meddled}
    there = {p.symbol: p.quantity for p in world.venue.positions() if p.symbol not in world.meddled}
    require(here == there, f"after peace held on record {here}, at the venue {there}")


def _is_put_off(events: list[RiskEvent], symbol: str, name: str) -> bool:
    return any(
        e.kind in EXCUSES and (e.data.get("symbol") == symbol or e.data.get("client_order_id") == name) for e in events
    )
