"""Rounds between bars: by a running clock, sooner on news, never past a request to stop; by an accelerated one, those
of the session that is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_pipeline.ports import Clock, NewsBell
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.session_acts import RecordedActs

NEWS_PACE = timedelta(seconds=0.25)
"""From a round to the first one that news brings; between two regular rounds the next ones wait twice as long each.

Rounds begin at whole multiples of it after the bar's end: a replay knows them by that.
"""
LOOK = timedelta(seconds=1)
"""How long nobody looks whether a stop was requested."""
SECOND_LOOKS = 6
"""Rounds that an accelerated clock makes after a bar, at most, while there is something to look at again soon."""


def rounds_between(
    desk: Desk, acts: RecordedActs | None, since: datetime, until: datetime, is_uneasy: Callable[[], bool]
) -> Iterator[datetime]:
    """Rounds of an accelerated clock between two bars' ends."""
    rules = desk.rules
    every = timedelta(seconds=rules.cadence.cycle_seconds)
    soon = since - (-rules.exits.protect_after_seconds // rules.cadence.cycle_seconds) * every
    if acts:
        done = set(acts.rounds_between(since, until, NEWS_PACE))
        yield from sorted(done | {soon} if is_uneasy() else done)
        return
    for number in range(SECOND_LOOKS if desk.connections() else 1):
        if not is_uneasy():
            return
        yield soon + number * every


@dataclass(slots=True)
class LiveWait:
    """How a loop waits on the real clock; each look is a sign of life of its leader."""

    desk: Desk
    real_clock: Clock
    stop_requested: Callable[[], bool]
    bell: NewsBell | None = None
    """None: there is no news but at the regular rounds."""

    def until(self, instant: datetime, since: datetime, pace: Callable[[], timedelta], act: Callable[[], None]) -> bool:
        """Sleep from `since` to the instant and act on the way, each `pace` and on news; False when a stop was asked.

        Rounds that the machine has slept through are left out.
        """
        last = regular = since
        brought = 0
        while not self.stop_requested():
            due = self._due(regular, last, pace())
            reached = self._sleep(last, min(due, instant), NEWS_PACE * 2**brought)
            if reached is None or reached >= instant:
                return reached is not None and not self.stop_requested()
            last, brought = reached, brought + 1
            if reached >= due:
                regular, brought = reached, 0
            act()
        return False

    def quietly(self, instant: datetime, since: datetime, every: timedelta) -> bool:
        """Sleep to the instant and do nothing on the way; False when a stop was asked."""
        return LiveWait(self.desk, self.real_clock, self.stop_requested).until(
            instant, since, lambda: every, lambda: None
        )

    def pause(self, length: timedelta) -> None:
        """Let the real clock run for so long, unless a stop is asked; the loop's own clock stays."""
        look = self.real_clock.now()
        until = look + length
        while look < until and not self.stop_requested():
            self.desk.give_sign()
            look = min(look + LOOK, until)
            self.real_clock.sleep_until(look)

    def _due(self, regular: datetime, last: datetime, every: timedelta) -> datetime:
        """The next regular round after the `last` one of any kind."""
        due = regular + every * max(1, (self.real_clock.now() - regular) // every)
        return due if due > last else due + every

    def _sleep(self, last: datetime, until: datetime, soonest: timedelta) -> datetime | None:
        """The instant at which the next round is, with the loop's clock at it; None when a stop was asked."""
        look = last
        while True:
            self.desk.give_sign()
            look = min(look + LOOK, until)
            if self._rest(look):
                look = until = min(until, last + _whole(max(self.real_clock.now() - last, soonest)))
            if look >= until:
                self.desk.clock.sleep_until(until)
                return until
            if self.stop_requested():
                return None

    def _rest(self, until: datetime) -> bool:
        """True when there was news on the way."""
        if self.bell is None:
            self.real_clock.sleep_until(until)
            return False
        return self.bell.wait((until - self.real_clock.now()).total_seconds())


def _whole(passed: timedelta) -> timedelta:
    """The next whole multiple of NEWS_PACE."""
    return NEWS_PACE * -(-passed // NEWS_PACE)
