"""Short trading days, each of which makes one kind of side effect happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.faults import Fault, FaultRule, FaultScript
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.crash.state import EndState
from trading_pipeline_tests.services.scripted import COSTLY, a_bar, flat_bars, path

NO_FAULTS = FaultScript()
THIN = 200
"""Shares in a bar that lets an entry of 200 shares fill only in parts: a tenth of the volume may be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A scripted session: bars, watchlists by minute, and what must have happened for the day to be worth crashing.

    halt_at: minute at which an operator halts trading; None on the other days. faults: what goes wrong at the venue.
    given_up_at: the door at which the loop withdraws the entry instead, since a part of it never came. as_wired: the
    line is a real session's, which looks again between bars where a connection may fail.
    """

    name: str
    bars: Sequence[MarketBar]
    happened: Callable[[EndState], bool]
    watchlists: Mapping[int, Sequence[str]] = field(default_factory=lambda: {15: ("XYZ",)})
    settings: Mapping[str, Any] = field(default_factory=dict)
    venue: VenueRules = COSTLY
    halt_at: int | None = None
    faults: FaultScript = NO_FAULTS
    given_up_at: str = ""
    as_wired: bool = False

    def shows(self, end: EndState, door: str) -> bool:
        """True when the day was worth it at this door."""
        if door == self.given_up_at:
            return end.count("entry", "Canceled") > 0 and not end.fills
        return self.happened(end)

    def is_told_alike(self, *, at_broker: bool) -> bool:
        """True when a crash may leave no trace in the decision log either.

        Who dies before missing an answer never missed it; and on an accelerated clock a restarted loop resumes before
        the minute of a halt that is on record already, and so obeys it sooner. At a broker's door it resumes before
        the minute in which the market behind the door filled an entry in part, and covers it at that earlier minute.
        The end is the same.
        """
        return not self.faults.rules and self.halt_at is None and not (at_broker and self.name == "partial_entry")


def _dip(ends: int = 20) -> list[MarketBar]:
    """Flat at 50.00, and one bar that trades through a limit of 50.00."""
    return [a_bar(at, "50.00", low="49.90") if at == ends else a_bar(at, "50.00") for at in range(5, 125, 5)]


def _partly() -> list[MarketBar]:
    """The dip is so thin that a part of the entry fills, and the rest expires."""
    thin = a_bar(20, "50.00", low="49.90", volume=THIN)
    return [thin if bar.end_at == thin.end_at else bar for bar in flat_bars()]


def _rising(to: Mapping[int, object]) -> list[MarketBar]:
    """The entry fills at minute 20, then the price follows `to`."""
    later = path({5: "50.00", **to})
    return [a_bar(20, "50.00", low="49.90") if number == 3 else bar for number, bar in enumerate(later)]


def _once(fault: Fault, op: str = "submit") -> FaultScript:
    return FaultScript(rules=(FaultRule(fault=fault, op=op),))


DAYS: Mapping[str, Day] = {
    day.name: day
    for day in (
        Day(
            name="entry",
            bars=[*_dip(), *flat_bars("50.40", "ABC")],
            watchlists={15: ("XYZ", "ABC"), 30: ("ABC",)},
            happened=lambda end: end.filled("entry") > 0 and end.count("entry", "Canceled") > 0,
        ),
        Day(
            name="partial_entry",
            bars=_partly(),
            happened=lambda end: 0 < end.filled("entry") < end.asked("entry"),
        ),
        Day(
            name="trailing_replace",
            bars=_rising({40: "53.20", 60: "54.20", 75: "51.00"}),
            happened=lambda end: "trailing" in end.exit_reasons,
        ),
        Day(name="target_fill", bars=_rising({40: "56.50"}), happened=lambda end: "target" in end.exit_reasons),
        Day(name="time_exit", bars=_rising({40: "50.50"}), happened=lambda end: "time" in end.exit_reasons),
        Day(
            name="kill",
            bars=[*_rising({40: "50.50"}), *flat_bars("50.40", "ABC")],
            watchlists={15: ("XYZ", "ABC"), 30: ("ABC",)},
            halt_at=25,
            happened=lambda end: end.filled("entry") > 0 and end.halted and end.count("entry", "Canceled") > 0,
        ),
        Day(
            name="lost_answer",
            bars=_rising({40: "56.50"}),
            faults=_once(Fault.DROP_REPLY),
            happened=lambda end: "target" in end.exit_reasons,
        ),
        Day(
            name="lost_request",
            bars=_rising({40: "56.50"}),
            faults=_once(Fault.DROP_REQUEST),
            happened=lambda end: "target" in end.exit_reasons,
            given_up_at="ib",
        ),
        Day(
            name="lost_cancel",
            bars=_partly(),
            faults=_once(Fault.DROP_REPLY, "cancel"),
            as_wired=True,
            happened=lambda end: end.count("entry", "Canceled") > 0 and 0 < end.filled("entry") < end.asked("entry"),
        ),
    )
}

OPENING_CASH_USD = dec(100_000)
