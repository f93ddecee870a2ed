"""Before the close: whatever is still held sleeps under a stop that outlives the session, or a person hears of it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import Leg, Order, Side, TimeInForce
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import ask_cancel, held_positions, read_cover, say_once
from trading_pipeline.services.care.protection import stop_level, write_stop
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest


def release_day_legs(desk: Desk) -> int:
    """Cancel the DAY sells of positions that stay over night, to make room for a stop that outlives the close.

    Returns how many were asked to cancel; a GTC stop already in place stays.
    """
    with desk.ledger.read() as tx:
        held = {position.symbol for position in tx.positions(desk.account)}
        sells = [o for o in tx.open_orders(desk.account) if o.side is Side.SELL and o.symbol in held]
    day = [o for o in sells if o.time_in_force is TimeInForce.DAY and o.status in SETTLED]
    return sum([ask_cancel(desk, order) for order in day])


def protect_overnight(desk: Desk, times: SessionTimes) -> int:
    """Write a GTC stop, or OCO, for shares of every open position that no sell covers; returns how many were written.

    A DAY sell whose end is not confirmed yet may still sell: the stop waits for that, and the next call writes it.
    """
    return sum([_protect(desk, times, position) for position in held_positions(desk)])


def _protect(desk: Desk, times: SessionTimes, position: Position) -> bool:
    level = stop_level(desk, position)
    with desk.ledger.transaction() as tx:
        free = read_cover(desk, tx, position).free
        if level is None or not free:
            return False
        write_stop(desk, tx, times, position, free, level)
    return True


def alarm_unprotected(desk: Desk, tx: LedgerTransaction, times: SessionTimes) -> int:
    """A CRITICAL risk event for every position that enters the night with shares under no working GTC stop.

    Returns how many there are; said once per position and session.
    """
    gtc = [o for o in tx.open_orders(desk.account) if o.leg is Leg.STOP and o.time_in_force is TimeInForce.GTC]
    found = [position for position in tx.positions(desk.account) if _uncovered(position, gtc)]
    for position in found:
        say_once(tx, _unprotected_event(desk, times, position, _uncovered(position, gtc)))
    return len(found)


def _uncovered(position: Position, stops: Iterable[Order]) -> Decimal:
    working = (o.leaves_qty for o in stops if o.symbol == position.symbol and o.status in SETTLED)
    return max(ZERO, position.quantity - sum(working, ZERO))


def _unprotected_event(desk: Desk, times: SessionTimes, position: Position, shares: Decimal) -> RiskEvent:
    return RiskEvent(
        event_id=digest("unprotected_overnight", position.trade_id, times.session.isoformat()), account=desk.account,
        session=times.session, occurred_at=times.closes_at, kind="unprotected_overnight", severity="CRITICAL",
        message=f"{plain(shares)} of {plain(position.quantity)} {position.symbol} enter the night without a working "
        "stop. Place one at the venue by hand; the next session tries again at its open",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "quantity": plain(shares)},
    )  # fmt: skip
