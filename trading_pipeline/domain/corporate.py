"""What changes an account without an order: cash activities, and splits of what is held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class CashKind(StrEnum):
    """What moved cash besides fills and their commissions."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    FEE = "fee"
    CASH_IN_LIEU = "cash_in_lieu"
    ADJUSTMENT = "adjustment"

    @property
    def is_flow(self) -> bool:
        """True for money put in or taken out: not a result of trading."""
        return self in {CashKind.DEPOSIT, CashKind.WITHDRAWAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class CashActivity:
    """One movement of cash (USD, in is positive), appended once per (broker, activity_id).

    ADJUSTMENT is our own, made by a named operator with a reason when nothing else explains a difference.
    """

    broker: str
    activity_id: str
    account: str
    session: date
    kind: CashKind
    amount_usd: Decimal
    occurred_at: datetime
    symbol: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`ratio` new shares for one old share of `symbol`, in force from `effective_at` (before the open of the ex-date).

    A position's quantity is multiplied and its prices divided; what is left of a share is paid in cash.
    """

    account: str
    symbol: str
    ex_date: date
    ratio: Decimal
    effective_at: datetime
