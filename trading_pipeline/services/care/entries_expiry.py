"""Entries whose time is over: past their time to live, or in the way of the time exits."""

from __future__ import annotations

from datetime import datetime

from trading_pipeline.domain.exits import is_flatten_time
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Leg, Order
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.services.care.asking import ask_cancel, flatten_lead
from trading_pipeline.services.desk import Desk


def cancel_stale_entries(desk: Desk, times: SessionTimes) -> int:
    """Ask to cancel entries past their time to live, and all of them once time exits begin; before any new decision."""
    now = desk.clock.now()
    with desk.ledger.read() as tx:
        entries = [order for order in tx.open_orders(desk.account) if order.leg is Leg.ENTRY]
    stale = [order for order in entries if order.status in SETTLED and _is_stale(desk, order, times, now)]
    return sum(ask_cancel(desk, order) for order in stale)


def _is_stale(desk: Desk, order: Order, times: SessionTimes, now: datetime) -> bool:
    is_flatten = is_flatten_time(now, times.closes_at, flatten_lead(desk))
    return is_flatten or (order.expires_at is not None and now >= order.expires_at)
