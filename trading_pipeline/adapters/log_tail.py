"""The end of a log, and what is added to it: through turn-overs, without losing or doubling a line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LOOKED_AT = 4_000_000
"""Bytes at a file's end among which the last lines are looked for."""


def last_lines(path: Path, count: int) -> list[str]:
    """At most `count` whole lines from the end; none for a file that is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOOKED_AT))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[-count:] if count else []


@dataclass(slots=True)
class Follower:
    """Reads what is added to a log from the moment it is made: also when the file is not there yet, was moved away for
    a new one, or was cut."""

    path: Path
    _file: BinaryIO | None = None
    _rest: bytes = field(default=b"")

    def __post_init__(self) -> None:
        self._file = self._opened()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> list[str]:
        """Whole lines added since the last call; half a line waits for its end."""
        found = self._read()
        while self._is_turned_over():
            if self._file is not None:
                self._file.close()
            self._file = self._opened()
            found += self._read()
        *lines, self._rest = (self._rest + found).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO | None:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # it was cut
        return self._file.read()

    def _is_turned_over(self) -> bool:
        """True when another file stands under the name by now."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        ours = os.fstat(self._file.fileno())
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
