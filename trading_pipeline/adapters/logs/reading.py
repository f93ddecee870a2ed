"""Counting what went wrong, from the end of the log file alone: it works while the database does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

END_BYTES = 1_000_000
"""At most that much of the file's end is read, so that asking costs the same however much is logged."""
LOUD = frozenset({"error", "critical"})


def errors_since(path: Path, since: datetime) -> int | None:
    """Lines of level error and above at or after the instant; None when the file cannot be read, 0 without one."""
    try:
        return sum(1 for _ in _loud_since(_end_of(path), since))
    except FileNotFoundError:
        return 0
    except OSError:
        return None


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END_BYTES))
        return file.read(END_BYTES)


def _loud_since(data: bytes, since: datetime) -> Iterator[str]:
    for line in data.splitlines():
        if b'"error"' in line or b'"critical"' in line:
            told = _told(line)
            if told is not None and told[0] in LOUD and told[1] >= since:
                yield told[0]


def _told(line: bytes) -> tuple[str, datetime] | None:
    """Level and instant of a line; None for half a line."""
    try:
        read = json.loads(line)
        return str(read["level"]), datetime.fromisoformat(read["at"])
    except (ValueError, KeyError, TypeError):
        return None
