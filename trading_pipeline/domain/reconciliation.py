"""Comparing our record with the venue's: what may differ, and what a pass found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class BreakKind(StrEnum):
    """How the record and the venue may differ."""

    UNKNOWN_ORDER = "unknown_order"
    MISSING_ORDER = "missing_order"
    STATE_DIFFERS = "state_differs"
    MISSING_FILL = "missing_fill"
    EXTRA_FILL = "extra_fill"
    QUANTITY_DIFFERS = "quantity_differs"
    UNKNOWN_POSITION = "unknown_position"
    POSITION_GONE = "position_gone"
    AVERAGE_PRICE_DIFFERS = "average_price_differs"
    CASH_DIFFERS = "cash_differs"
    STOP_MISSING = "stop_missing"
    STOP_QUANTITY_WRONG = "stop_quantity_wrong"

    @property
    def blocks(self) -> bool:
        """False when it is information only: IB's average price includes commission."""
        return self is not BreakKind.AVERAGE_PRICE_DIFFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference: what we have on record against what the venue says. `symbol` is empty for cash."""

    kind: BreakKind
    symbol: str
    subject: str
    ours: str
    theirs: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """The same break seen again has the same identity, whatever the figures."""
        return (self.kind.value, self.symbol, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One pass. `breaks` are confirmed (seen in two passes at least 5 s apart); `suspected` were seen once."""

    account: str
    session: date
    at: datetime
    breaks: tuple[Break, ...]
    suspected: tuple[Break, ...]

    @property
    def is_clean(self) -> bool:
        """True when nothing that blocks was found, neither confirmed nor suspected."""
        return not any(one.kind.blocks for one in (*self.breaks, *self.suspected))
