"""What was told about orders at Interactive Brokers: a small SQLite file, written before anybody hears of it.

TWS dates no change of an order, forgets executions at midnight and ended orders after a day. So what it was once heard
to say is kept, dated, and told again in the same words. Losing the file loses no order: executions and ends are told
anew as TWS dates them, and when an order was taken its acknowledgement has told already.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from trading_pipeline.domain.errors import DataFileError, LedgerUnavailable
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import ExecutionReport

SCHEMA = """
CREATE TABLE IF NOT EXISTS reports (number INTEGER PRIMARY KEY AUTOINCREMENT, exec_id TEXT NOT NULL UNIQUE,
    known_at TEXT NOT NULL, report TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refusals (client_order_id TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
_REPORT: TypeAdapter[ExecutionReport] = TypeAdapter(ExecutionReport)


class ToldReports:
    """Every method may be repeated, and is durable when it returns. Used from several threads.

    path: the file; None keeps everything in memory. Raises DataFileError when the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        self._path = path
        self._told: dict[str, tuple[datetime, ExecutionReport]] = {}
        self._of: dict[str, list[ExecutionReport]] = {}
        self._refusals: dict[str, str] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._open()

    def add(self, reports: Iterable[ExecutionReport], known_at: datetime) -> Sequence[ExecutionReport]:
        """Keep what is new by exec_id; returns it. What was told first holds."""
        require_aware(known_at)
        with self._lock:
            new = {report.exec_id: report for report in reports if report.exec_id not in self._told}
            rows = [(r.exec_id, known_at.isoformat(), _REPORT.dump_json(r).decode()) for r in new.values()]
            if rows:
                self._save("INSERT INTO reports (exec_id, known_at, report) VALUES (?, ?, ?)", rows)
            for report in new.values():
                self._keep(known_at, report)
            return tuple(new.values())

    def since(self, instant: datetime) -> Sequence[ExecutionReport]:
        """What occurred at or after the instant, or was heard of only then; by time of occurrence, as told."""
        require_aware(instant)
        with self._lock:
            told = [r for known_at, r in self._told.values() if r.occurred_at >= instant or known_at >= instant]
        return tuple(sorted(told, key=lambda report: report.occurred_at))

    def of(self, client_order_id: str) -> Sequence[ExecutionReport]:
        """All about one order, as told."""
        with self._lock:
            return tuple(self._of.get(client_order_id, ()))

    def report(self, exec_id: str) -> ExecutionReport | None:
        """What was told under an id."""
        with self._lock:
            found = self._told.get(exec_id)
        return found[1] if found else None

    def refuse(self, client_order_ids: Iterable[str], text: str) -> None:
        """Keep a definite refusal: nothing else is ever told of these orders."""
        with self._lock:
            rows = [(one, text) for one in client_order_ids if one not in self._refusals]
            if rows:
                self._save("INSERT INTO refusals (client_order_id, text) VALUES (?, ?)", rows)
            self._refusals.update(rows)

    def refusal(self, client_order_id: str) -> str | None:
        """Why an order was refused; None for one that was not."""
        with self._lock:
            return self._refusals.get(client_order_id)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> None:
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(SCHEMA)
            for known_at, text in self._connection.execute("SELECT known_at, report FROM reports ORDER BY number"):
                self._keep(datetime.fromisoformat(known_at), _REPORT.validate_json(text))
            self._refusals.update(self._connection.execute("SELECT client_order_id, text FROM refusals"))
        except (sqlite3.DatabaseError, ValidationError, ValueError) as error:
            raise DataFileError(
                f"what Interactive Brokers told, in {self._path}, cannot be read ({type(error).__name__}: {error}). "
                "Restore the file from a backup, or move it away: TWS is then asked for today's orders again"
            ) from error

    def _save(self, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
        try:
            with self._connection as connection:
                connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise LedgerUnavailable(
                f"what Interactive Brokers told cannot be written to {self._path} ({error}); it is asked again. "
                "Check the disk and its permissions"
            ) from error

    def _keep(self, known_at: datetime, report: ExecutionReport) -> None:
        self._told[report.exec_id] = (known_at, report)
        self._of.setdefault(report.client_order_id, []).append(report)
