"""The half of the latch that needs no database."""

from __future__ import annotations

from typing import Protocol

from trading_pipeline.domain.breaker import Trip


class LatchFile(Protocol):
    """One file per account: while it is there, nothing that grows exposure leaves, whatever the database says."""

    @property
    def place(self) -> str:
        """Where it stands, for people."""

    def read(self) -> Trip | None:
        """Why it is there; None when it is not. Raises LatchError, which blocks too, when that cannot be told."""

    def write(self, trip: Trip) -> None:
        """Put it there, durably, instead of what may be there. Raises LatchError when that failed.

        A file without words may stand there then: it blocks all the same.
        """

    def clear(self) -> None:
        """Take it away, durably; nothing there is nothing to do. Raises LatchError when that failed."""
