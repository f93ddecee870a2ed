"""Alpaca's timeframes: how long a bar is and on which clock it begins (New York's, from midnight on)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from trading_pipeline.venue.alpaca.context import AlpacaError

NEW_YORK = ZoneInfo("America/New_York")
Unit = Literal["Min", "Hour", "Day", "Week", "Month"]
_SHORT: dict[str, Unit] = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_COUNTS: dict[Unit, frozenset[int]] = {
    "Min": frozenset(range(1, 60)),
    "Hour": frozenset(range(1, 24)),
    "Day": frozenset({1}),
    "Week": frozenset({1}),
    "Month": frozenset({1, 2, 3, 4, 6, 12}),
}
_TEXT = re.compile(r"(\d{1,2})(Min|Hour|Day|Week|Month|[THDWM])")


@dataclass(frozen=True, slots=True)
class Frame:
    """A bar's length."""

    count: int
    unit: Unit

    @property
    def minutes(self) -> int | None:
        """Length in minutes; None for a day and longer."""
        return {"Min": self.count, "Hour": 60 * self.count}.get(self.unit)

    def start_of(self, instant: datetime) -> datetime:
        """When the bar that holds `instant` begins, in New York's time."""
        local = instant.astimezone(NEW_YORK)
        if self.minutes is not None:
            since_midnight = (local.hour * 60 + local.minute) // self.minutes * self.minutes
            return local.replace(hour=since_midnight // 60, minute=since_midnight % 60, second=0, microsecond=0)
        day = local.date()
        if self.unit == "Week":
            day -= timedelta(days=day.weekday())
        if self.unit == "Month":
            day = day.replace(month=(day.month - 1) // self.count * self.count + 1, day=1)
        return midnight(day)


def frame_of(text: str) -> Frame:
    """`5Min`, `5T`, `1Hour`, `1Day`, `3Month`; raises AlpacaError for any other."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise AlpacaError(400, None, f"invalid timeframe: {text}")
    count, unit = int(found[1]), _SHORT.get(found[2], found[2])
    if unit not in _COUNTS or count not in _COUNTS[unit]:
        raise AlpacaError(400, None, f"invalid timeframe: {text}")
    return Frame(count, unit)


def midnight(day: date) -> datetime:
    """The day's beginning in New York."""
    return datetime.combine(day, time(), NEW_YORK)


def day_of(instant: datetime) -> date:
    """The date in New York."""
    return instant.astimezone(NEW_YORK).date()
