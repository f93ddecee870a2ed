"""The latch as a process holds it: the file, and its own memory while no file can be written.

Read right before every order leaves, so it asks no database: whatever of file, row and memory blocks, blocks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from trading_pipeline.domain.breaker import Trip
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import LatchError
from trading_pipeline.ports import Clock, LatchFile

log = logging.getLogger(__name__)
HANDS_OFF = timedelta(seconds=30)
"""How long a loop sends nothing while positions are closed past it; prolonged as long as that goes on."""


@dataclass(frozen=True, slots=True)
class Latched:
    """What the latch says: the state it allows, why (empty when ACTIVE), and the trip where that can be told.

    hands_off: somebody closes the positions past the loop, which sends nothing at all meanwhile.
    """

    state: TradingState = TradingState.ACTIVE
    words: str = ""
    trip: Trip | None = None
    hands_off: bool = False


OPEN = Latched()


@dataclass(slots=True)
class Latch:
    """The file of an account. clock: the machine's."""

    file: LatchFile
    clock: Clock
    _kept: Trip | None = None
    _off_until: datetime | None = None
    _lock: Lock = field(default_factory=Lock)

    def look(self) -> Latched:
        """What stands now, the stricter of file and memory; never raises: what cannot be read is HALTED."""
        kept = self._kept
        try:
            trip = stricter(self.file.read(), kept)
        except LatchError as error:
            return Latched(TradingState.HALTED, str(error), kept, self._is_off(self._off_until))
        if trip is None:
            return Latched(hands_off=self._is_off(self._off_until))
        is_off = self._is_off(trip.hands_off_until) or self._is_off(self._off_until)
        return Latched(trip.cause.state, trip.cause.words, trip, is_off)

    def keep_off(self, until: datetime | None) -> None:
        """The record tells of somebody, elsewhere perhaps, who closes the positions until then; None: of nobody."""
        self._off_until = until

    def _is_off(self, until: datetime | None) -> bool:
        """Never for longer than HANDS_OFF from now: a clock that was set back does not prolong it."""
        return until is not None and timedelta(0) < until - self.clock.now() <= HANDS_OFF

    def engage(self, trip: Trip) -> str:
        """Block from this instant on: in memory, then in the file. Returns what kept the file from being written.

        A stricter latch that stands already is left as it is.
        """
        with self._lock:
            if self._stands_stricter(trip):
                return ""
            self._kept = trip
            return self._written(trip)

    def _stands_stricter(self, trip: Trip) -> bool:
        known = self.look()
        is_stricter = known.state.severity >= trip.cause.state.severity
        return known.trip is not None and is_stricter and known.trip.cause.flattens >= trip.cause.flattens

    def overwrite(self, trip: Trip) -> str:
        """As engage, whatever stands there."""
        with self._lock:
            self._kept = trip
            return self._written(trip)

    def file_blocks(self) -> bool:
        """True when the file itself blocks, whatever it says: other processes see it."""
        try:
            return self.file.read() is not None
        except LatchError:
            return True

    def retry(self) -> None:
        """Write what is only in memory, where that works by now."""
        with self._lock:
            if self._kept is not None:
                self._written(self._kept)

    def on_record(self) -> None:
        """The row has it: memory is needed no more."""
        self._kept = None

    def release(self) -> None:
        """A person resumes: take the file away, and forget. Raises LatchError when the file stays."""
        with self._lock:
            self.file.clear()
            self._kept = None

    def _written(self, trip: Trip) -> str:
        try:
            self.file.write(trip)
        except LatchError as error:
            log.critical("%s; this process keeps it in memory", error)
            return str(error)
        self._kept = None
        return ""


def stricter(written: Trip | None, kept: Trip | None) -> Trip | None:
    """Of two trips the one that stops more; a file that could not be written anew tells of an earlier, milder one."""
    if written is None or kept is None:
        return written or kept
    return max(kept, written, key=lambda trip: (trip.cause.state.severity, trip.cause.flattens))


def look_at(latch: Latch | None) -> Latched:
    """What a latch says; a room without one is open."""
    return OPEN if latch is None else latch.look()
