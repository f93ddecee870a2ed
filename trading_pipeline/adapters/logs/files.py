"""One file of log lines that several processes write, turned over when it is full."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from filelock import FileLock

from trading_pipeline.adapters.logs.redaction import REDACTOR

ONLY_THE_OWNER = 0o600


class SharedFile:
    """A stream for logging.StreamHandler. Each line is one append of the operating system's, so lines stay whole.

    A line is never lost when another process turns the file over: it then goes to the end of the file before.
    """

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        """files: kept, the running one included. Nothing is opened before the first line."""
        self._path, self._max_bytes, self._files = path, max_bytes, files
        self._descriptor: int | None = None
        self._is_torn = False

    @property
    def path(self) -> Path:
        """Where the lines go."""
        return self._path

    def write(self, line: str) -> None:
        """Append; raises OSError when the disk takes nothing more."""
        data = (b"\n" if self._is_torn else b"") + line.encode("utf-8", "backslashreplace")
        descriptor = self._opened()
        if os.fstat(descriptor).st_size + len(data) > self._max_bytes:
            descriptor = self._turned_over(len(data))
        written = os.write(descriptor, data)
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError(f"only {written} of {len(data)} bytes of a log line were written")

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
            self._descriptor = os.open(self._path, flags, ONLY_THE_OWNER)
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _turned_over(self, more: int) -> int:
        """One process moves the files on; who comes second finds an empty one."""
        with FileLock(self._path.with_suffix(".lock")):
            descriptor = self._opened()
            size = os.fstat(descriptor).st_size
            if size > 0 and size + more > self._max_bytes:
                for number in range(self._files - 1, 0, -1):
                    source = self._numbered(number - 1)
                    if source.exists():
                        source.replace(self._numbered(number))
            return self._opened()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")


class FileLog(logging.StreamHandler[SharedFile]):
    """Writes lines to a SharedFile. What cannot be written stops nobody: it is counted, and told on stderr once."""

    def __init__(self, file: SharedFile) -> None:
        super().__init__(file)
        self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  logging's name
        """Without the record: it may hold what must not be shown."""
        self.lost += 1
        if self.lost == 1:
            tell_loss(sys.exc_info()[1])

    def close(self) -> None:
        """Give the file back."""
        self.stream.close()
        super().close()


class Terminal(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the time of the line."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Where lines go."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Chosen anew for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """A terminal that is gone, or a line that cannot be made: the file has it."""


def tell_loss(error: BaseException | None) -> None:
    """One line on stderr that logs are not being written."""
    try:
        sys.stderr.write(REDACTOR(f"warning: log lines cannot be written ({error}); the work itself goes on\n"))
    except (OSError, ValueError):
        return  # no terminal either
