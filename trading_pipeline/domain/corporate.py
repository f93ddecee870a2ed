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


SPLIT_RATIOS = ("2:1", "3:1", "3:2", "4:1", "5:1", "6:1", "8:1", "10:1", "15:1", "20:1", "25:1", "50:1")
"""New shares for old ones, as companies choose them; each is looked for as a reverse split too."""
SPLIT_TOLERANCE = Decimal("0.02")
"""Farthest a price may be from the exact ratio: what a share moves over a night besides."""


def looks_like_split(before: Decimal, after: Decimal) -> str | None:
    """The split "n:m" that two consecutive prices (USD per share, above zero) look like; None for none."""
    for name in SPLIT_RATIOS:
        new, old = (Decimal(part) for part in name.split(":"))
        for shown, exact in ((name, new / old), (f"{old}:{new}", old / new)):
            if abs(before / after - exact) <= exact * SPLIT_TOLERANCE:
                return shown
    return None
