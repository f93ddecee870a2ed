"""The latch as a file of the home folder: there is a file, so nothing that grows exposure leaves.

Written beside and renamed over, both the file and its folder synced, so that it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from trading_pipeline.adapters.durable import make_durable
from trading_pipeline.domain.breaker import Trip
from trading_pipeline.domain.errors import LatchError
from trading_pipeline.domain.market import require_aware

TRIP = TypeAdapter(Trip)
MOST_BYTES = 65_536
PRIVATE = 0o600
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class FileLatch:
    """Implements LatchFile. Whatever is there blocks; its text only tells why."""

    def __init__(self, home: Path, account: str) -> None:
        self._path = home / f"latch-{quote(account, safe='')}.json"
        self._account = account

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def read(self) -> Trip | None:
        """Why it is there; None when it is not. Raises LatchError when that cannot be told."""
        try:
            text = self._text()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(error.strerror or type(error).__name__, error)
        return self._parsed(text)

    def _text(self) -> bytes:
        found = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            shown = os.fstat(found)
            if not stat.S_ISREG(shown.st_mode):
                self._unreadable("it is no plain file")
            if shown.st_mode & WRITABLE_BY_OTHERS or shown.st_uid not in {os.geteuid(), 0}:
                self._unreadable("others than you may have written it (its owner or its permissions are wrong)")
            return os.read(found, MOST_BYTES)
        finally:
            os.close(found)

    def _parsed(self, text: bytes) -> Trip:
        try:
            trip = TRIP.validate_json(text)
            require_aware(trip.at)
        except (ValidationError, ValueError) as error:
            self._unreadable("its text is not that of a latch", error)
        if trip.account != self._account:
            self._unreadable(f"it is of account {trip.account}, not of {self._account}")
        return trip

    def write(self, trip: Trip) -> None:
        """Put it there, durably. Raises LatchError when that failed.

        On a full disk an empty file is left in its place: it blocks too, though it cannot say why. One that is there
        stays while it is as strict; what is milder is emptied.
        """
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write_part(part, TRIP.dump_json(trip, indent=1) + b"\n")
            part.replace(self._path)
            make_durable(self._path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._block_without_words(trip)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise LatchError(f"the latch {self._path} could not be written: {error.strerror or error}") from error

    def _block_without_words(self, trip: Trip) -> None:
        empty = os.O_TRUNC if self._is_milder_than(trip) else 0
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | empty | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE))
        make_durable(self._path.parent)

    def _is_milder_than(self, trip: Trip) -> bool:
        try:
            there = self.read()
        except LatchError:
            return False
        return there is not None and there.cause.state.severity < trip.cause.state.severity

    @staticmethod
    def _write_part(part: Path, text: bytes) -> None:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(opened, "wb") as file:
            os.fchmod(file.fileno(), PRIVATE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> None:
        """Take it away, durably. Raises LatchError when that failed."""
        try:
            self._path.unlink(missing_ok=True)
            if self._path.parent.is_dir():
                make_durable(self._path.parent)
        except OSError as error:
            raise LatchError(
                f"the latch {self._path} could not be removed: {error.strerror or error}. Trading stays blocked. "
                "Check the permissions of its folder, then run the command again"
            ) from error

    def _unreadable(self, why: str, cause: Exception | None = None) -> NoReturn:
        raise LatchError(
            f"the latch {self._path} cannot be read ({why}), so nothing that grows exposure leaves. Look at it, and at "
            f"trading-pipeline breaker show; then remove it (rm -r '{self._path}'). Entries leave again at once then, "
            "unless the record holds them back as well: that ends with trading-pipeline resume"
        ) from cause
