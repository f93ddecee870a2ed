"""What vendors were asked and answered in full: one line of JSON each, durable when written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Timeframe


class FetchLogFile:
    """Implements FetchLog in one file that only grows. A line that a crash has cut off counts as not written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def answered(self, provider: str, feed: str, timeframe: Timeframe) -> Mapping[date, frozenset[str]]:
        """Symbols by session, whether or not the vendor had bars of them."""
        found: dict[date, set[str]] = {}
        for line in self._lines():
            if line["of"] == [provider, feed, timeframe.value]:
                for day in line["sessions"]:
                    found.setdefault(date.fromisoformat(day), set()).update(line["symbols"])
        return {day: frozenset(symbols) for day, symbols in found.items()}

    def note(
        self, provider: str, feed: str, timeframe: Timeframe, symbols: Sequence[str], days: Sequence[date]
    ) -> None:
        """Remember an answer; durable when this returns. Raises DataFileError when the disk refuses."""
        line = {
            "of": [provider, feed, timeframe.value], "sessions": [day.isoformat() for day in days],
            "symbols": list(symbols),
        }  # fmt: skip
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(line))  # a torn line before it stays a line of its own
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataFileError(
                f"cannot write {self._path}: {error}. The bars themselves are stored; free disk space and run the same "
                "command again."
            ) from error

    def _lines(self) -> list[dict[str, list[str]]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        except OSError as error:
            raise DataFileError(f"cannot read {self._path}: {error}. Check its permissions.") from error
        return [line for line in map(_parsed, text.splitlines()) if line is not None]


def _parsed(text: str) -> dict[str, list[str]] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and {"of", "sessions", "symbols"} <= line.keys() else None
