"""The venue's turn: python -m trading_pipeline_tests.crash.venue_death --door alpaca|ib [--days target_fill].

The venue process is killed at the first and the last point of each kind of act of the loop there, and started again at
once over the same file and at the same addresses; the loop is started again whenever it ends with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from trading_pipeline.venue.faults import FaultScript
from trading_pipeline_tests.crash.doors import DoorKind
from trading_pipeline_tests.crash.faults import Sweep, judged, supervised, trade_with_log
from trading_pipeline_tests.crash.sweep import Outcome, VenueProcess, live, one_of_each, venue_of

ACTS = ("submit", "replace", "cancel", "bars")
GLANCE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Deaths:
    """Deaths of the venue on one day. within: makes runs."""

    within: Sweep
    day: str

    def points(self) -> list[str]:
        """What an undisturbed loop does, in order."""
        folder = self.within.folder / f"points-{self.day}"
        with venue_of(self.day, folder, self.within.door, FaultScript()) as venue:
            supervised(run := self.within.run_at(venue, self.day))
            told: list[str] = json.loads(run.result.read_text())["points"]
        return told

    def at(self, number: int, point: str) -> Outcome:
        """Kill the venue at a point of the first loop, and see the day to its end."""
        folder = self.within.folder / f"{self.day}-{number}"
        with venue_of(self.day, folder, self.within.door, FaultScript()) as venue, _revived(venue) as deaths:
            run = self.within.run_at(venue, self.day)
            live(replace(run, die_at=number, victim=venue.process.pid or 0), trade_with_log)
            if not run.result.exists():
                supervised(run)
            end, _, faults = judged(run)
        if len(deaths) != 1:
            faults = (*faults, f"the venue died {len(deaths)} times")
        return Outcome(self.day, number, point, (*faults, *self.within.bought_more(self.day, end)))


@contextmanager
def _revived(venue: VenueProcess) -> Iterator[list[int]]:
    """Start the venue again whenever it is found dead; tells which processes died."""
    deaths: list[int] = []
    is_over = Event()

    def watch() -> None:
        while not is_over.wait(GLANCE_SECONDS):
            was = venue.process.pid or 0
            if venue.revive():
                deaths.append(was)

    watching = Thread(target=watch)
    watching.start()
    try:
        yield deaths
    finally:
        is_over.set()
        watching.join()


def chosen(points: Sequence[str]) -> list[int]:
    """The first and the last point of each kind of act at the venue."""
    return [number for number in one_of_each(points) if points[number - 1].split()[1] in ACTS]


def main(arguments: Sequence[str]) -> int:
    """Kill, show what was wrong, and return 1 when anything was."""
    parser = argparse.ArgumentParser(prog="python -m trading_pipeline_tests.crash.venue_death", description=__doc__)
    parser.add_argument("--door", choices=[kind.value for kind in DoorKind], required=True)
    parser.add_argument("--days", default="target_fill,trailing_replace,partial_entry", help="comma-separated")
    options, console, wrong = parser.parse_args(arguments), Console(), 0
    with tempfile.TemporaryDirectory(prefix="deaths-") as folder:
        within = Sweep(DoorKind(options.door), Path(folder))
        for day in options.days.split(","):
            within.calm(day)
            deaths = Deaths(within, day)
            points = deaths.points()
            outcomes = [deaths.at(number, points[number - 1]) for number in chosen(points)]
            bad = [outcome for outcome in outcomes if outcome.faults]
            wrong += len(bad)
            console.print(f"{options.door} door, {day}: {len(outcomes)} deaths of the venue, {len(bad)} violations")
            for outcome in bad:
                console.print(f"  point {outcome.number} ({outcome.point}): {outcome.faults}", soft_wrap=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
