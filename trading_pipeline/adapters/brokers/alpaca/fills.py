"""Fills and cash, from the account's activities: the only source of both, so that none is ever booked twice."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from trading_pipeline.adapters.brokers.alpaca.wire import Raw, instant, number
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.money import ZERO

log = logging.getLogger(__name__)
NAN = Decimal("NaN")
NEW_YORK = ZoneInfo("America/New_York")
UNREADABLE = (KeyError, TypeError, ValueError, InvalidOperation, NaiveDatetimeError)

KINDS = {
    "CSD": CashKind.DEPOSIT, "CSW": CashKind.WITHDRAWAL, "DIV": CashKind.DIVIDEND, "CGD": CashKind.DIVIDEND,
    "DIVFEE": CashKind.FEE, "INT": CashKind.INTEREST, "INTNRA": CashKind.INTEREST, "INTTW": CashKind.INTEREST,
    "FEE": CashKind.FEE, "CFEE": CashKind.FEE, "PTC": CashKind.FEE, "PTR": CashKind.FEE,
    "SPLIT": CashKind.CASH_IN_LIEU, "SPIN": CashKind.CASH_IN_LIEU, "MA": CashKind.CASH_IN_LIEU,
    "REORG": CashKind.CASH_IN_LIEU,
}  # fmt: skip
"""By activity_type. Taxes withheld on dividends (DIVNRA, DIVFT, …) are dividends below zero."""
MOVED = frozenset({"TRANS", "JNL", "JNLC", "ACATC"})
"""Money put in or taken out, by its sign."""


@dataclass(frozen=True, slots=True)
class WireFill:
    """One execution. exec_id: the UUID the stream uses too. Shares and USD per share; NaN where nobody can read it."""

    exec_id: str
    order_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    at: datetime


class Fills:
    """Executions told of in this process, by order."""

    def __init__(self) -> None:
        self._by_id: dict[str, WireFill] = {}
        self._of_order: dict[str, list[WireFill]] = defaultdict(list)

    def put(self, rows: Iterable[Raw]) -> None:
        """Take in FILL activities; one known already changes nothing."""
        for row in rows:
            fill = read_fill(row)
            if fill is not None and fill.exec_id not in self._by_id:
                self._by_id[fill.exec_id] = fill
                self._of_order[fill.order_id].append(fill)

    def all(self) -> Iterable[WireFill]:
        return self._by_id.values()

    def shares(self, order_ids: Iterable[str]) -> Decimal:
        """Shares executed for these orders as far as told."""
        fills = (fill for order_id in order_ids for fill in self._of_order.get(order_id, ()))
        return sum((fill.quantity for fill in fills if fill.quantity.is_finite()), ZERO)


def read_fill(row: Raw) -> WireFill | None:
    """A FILL activity; None, and said, for one that names no order or no instant."""
    try:
        return WireFill(
            exec_id=str(row["id"]).rpartition("::")[2], order_id=str(row["order_id"]),
            symbol=str(row.get("symbol", "")), quantity=_number(row.get("qty")), price=_number(row.get("price")),
            at=instant(row["transaction_time"]),
        )  # fmt: skip
    except UNREADABLE as error:
        log.critical(
            "Alpaca tells of a fill nobody can read (%r): %s. Compare the position with its web page", error, row
        )
        return None


def _number(found: Any) -> Decimal:
    try:
        value = number(found)
    except (ValueError, InvalidOperation):
        return NAN
    return NAN if value is None else value


def read_cash(row: Raw, broker: str, account: str) -> CashActivity | None:
    """What an activity moved in cash; None for fills, for what moved none, and for what was canceled."""
    try:
        kind, amount = str(row["activity_type"]), number(row.get("net_amount")) or ZERO
        if kind == "FILL" or not amount or row.get("status") == "canceled":
            return None
        at = _moved_at(row)
        return CashActivity(
            broker=broker, activity_id=str(row["id"]), account=account, session=at.astimezone(NEW_YORK).date(),
            kind=_kind(kind, amount), amount_usd=amount, occurred_at=at, symbol=str(row.get("symbol") or ""),
            text=f"Alpaca {kind}",
        )  # fmt: skip
    except UNREADABLE as error:
        log.critical("Alpaca tells of a cash activity nobody can read (%r): %s. Compare the cash", error, row)
        return None


def _moved_at(row: Raw) -> datetime:
    """When it was created; a date alone counts as that day's end, so that nothing of the day comes after it."""
    if row.get("created_at"):
        return instant(row["created_at"])
    day = datetime.fromisoformat(str(row["date"])[:10])
    return datetime.combine(day.date() + timedelta(days=1), time(0), UTC) - timedelta(seconds=1)


def _kind(activity_type: str, amount: Decimal) -> CashKind:
    if activity_type in KINDS:
        return KINDS[activity_type]
    if activity_type.startswith("DIV"):
        return CashKind.DIVIDEND
    if activity_type in MOVED:
        return CashKind.DEPOSIT if amount > 0 else CashKind.WITHDRAWAL
    log.warning(
        "Alpaca moved %s USD as %r, which this version does not know; it is kept as a fee", amount, activity_type
    )
    return CashKind.FEE
