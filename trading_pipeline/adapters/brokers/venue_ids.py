"""Which of a broker's order ids is which of ours: a small SQLite file, written before an order leaves.

What a broker makes itself (legs of a bracket, the successor of a replaced order, ids it numbers anew after a restart)
carries none of our ids. What is kept here joins the two. Losing the file loses no order: an order that was sent under
its own client_order_id is looked up by it; register the requests of the ledger's open orders again, and legs are
matched within their family by side and type; a leg that stays unknown is reported under the broker's own id, and so
found by reconciliation, which locks its symbol and adopts it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from trading_pipeline.domain.errors import DataFileError, LedgerUnavailable
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport, OrderRequest
from trading_pipeline.venue.checks import orders_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS families (first_id TEXT PRIMARY KEY, request TEXT NOT NULL, registered_at TEXT NOT NULL,
    is_finished INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS ids (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, venue_id TEXT NOT NULL,
    client_order_id TEXT NOT NULL, UNIQUE (kind, venue_id));
CREATE TABLE IF NOT EXISTS said (exec_id TEXT PRIMARY KEY, report TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
EPOCH, MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
_REPORT = TypeAdapter(ExecutionReport)


class IdKind(StrEnum):
    """ORDER: names one order (at IB until the ids roll back: then the newest holds). PERMANENT: IB's permId."""

    ORDER = "order"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Family:
    """One request as it was sent: an order, or a bracket or OCO with its legs. finished: nothing of it works."""

    request: AnyRequest
    registered_at: datetime
    is_finished: bool = False

    @property
    def first_id(self) -> str:
        """The client_order_id under which it is sent: of the entry, or of an OCO's stop."""
        return orders_of(self.request)[0].client_order_id

    def member(self, client_order_id: str) -> OrderRequest | None:
        """The order of the family with that id."""
        return next((order for order in orders_of(self.request) if order.client_order_id == client_order_id), None)


class VenueIds:
    """Every method may be repeated, and is durable when it returns. Used from several threads.

    path: the file; None keeps everything in memory. Raises DataFileError when the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        self._families: dict[str, Family] = {}  # by client_order_id of every member
        self._clients: dict[tuple[IdKind, str], str] = {}
        self._known: dict[tuple[IdKind, str], list[str]] = {}
        self._said: dict[str, ExecutionReport] = {}
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._kept_since: datetime | None = None
        self._floor = self._open()

    # its age

    def begin(self, at: datetime) -> None:
        """Note since when every order is put here before it leaves; an earlier note stays. Register open ones first."""
        with self._lock:
            if self._kept_since is not None:
                return
            self._kept_since = require_aware(at)
            with self._saving() as connection:
                connection.execute("INSERT INTO facts VALUES ('kept_since', ?)", ((at - EPOCH) // MICROSECOND,))

    def kept_since(self) -> datetime | None:
        """Orders created at or after this instant, or open at it, are here, or never left; None: nobody noted it."""
        with self._lock:
            return self._kept_since

    # requests

    def register(self, request: AnyRequest, at: datetime) -> None:
        """Keep what is about to be sent. Other content under a known first id takes its place; what had ended is
        followed again."""
        family = Family(request, require_aware(at))
        with self._lock:
            known = self._families.get(family.first_id)
            if known is not None and known.request == request and not known.is_finished:
                return
            text = (family.first_id, _REQUEST.dump_json(request).decode(), at.isoformat())
            with self._saving() as connection:
                connection.execute("INSERT OR REPLACE INTO families VALUES (?, ?, ?, 0)", text)
            self._keep(family)

    def family(self, client_order_id: str) -> Family | None:
        """What an order was sent in; None when it was never registered here."""
        with self._lock:
            return self._families.get(client_order_id)

    def unfinished(self) -> Sequence[Family]:
        """Families of which something may still work, oldest first."""
        with self._lock:
            distinct = {family.first_id: family for family in self._families.values() if not family.is_finished}
        return sorted(distinct.values(), key=lambda family: (family.registered_at, family.first_id))

    def finish(self, client_order_id: str) -> None:
        """Every order of that order's family has ended; what is not known changes nothing."""
        with self._lock:
            family = self._families.get(client_order_id)
            if family is None or family.is_finished:
                return
            with self._saving() as connection:
                connection.execute("UPDATE families SET is_finished = 1 WHERE first_id = ?", (family.first_id,))
            self._keep(replace(family, is_finished=True))

    # ids

    def learn(self, client_order_id: str, venue_id: str, kind: IdKind = IdKind.ORDER) -> None:
        """The broker's id of an order of ours, its newest. An id the broker has given out again is the new order's."""
        self.learn_all([(client_order_id, venue_id)], kind)

    def learn_all(self, pairs: Iterable[tuple[str, str]], kind: IdKind = IdKind.ORDER) -> None:
        """Several of them, (client_order_id, venue id), in one step."""
        with self._lock:
            new = [(ours, theirs) for ours, theirs in pairs if self._clients.get((kind, theirs)) != ours]
            if not new:
                return
            with self._saving() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO ids (kind, venue_id, client_order_id) VALUES (?, ?, ?)",
                    [(kind.value, theirs, ours) for ours, theirs in new],
                )
            for ours, theirs in new:
                self._join(kind, theirs, ours)

    def venue_ids(self, client_order_id: str, kind: IdKind = IdKind.ORDER) -> Sequence[str]:
        """The broker's ids of an order of ours in the order they were learned; a replaced order has several."""
        with self._lock:
            return tuple(self._known.get((kind, client_order_id), ()))

    def latest(self, client_order_id: str, kind: IdKind = IdKind.ORDER) -> str | None:
        """The broker's newest id of an order of ours."""
        known = self.venue_ids(client_order_id, kind)
        return known[-1] if known else None

    def client_id(self, venue_id: str, kind: IdKind = IdKind.ORDER) -> str | None:
        """Our id of the broker's order; None for an order that is not ours, or not known here."""
        with self._lock:
            return self._clients.get((kind, venue_id))

    # what was made of the broker's words

    def first_said(self, report: ExecutionReport) -> ExecutionReport:
        """The report as it was first made under its exec_id: a broker that only tells how an order stands now must not
        be made to contradict itself."""
        with self._lock:
            known = self._said.get(report.exec_id)
            if known is not None:
                return known
            row = (report.exec_id, _REPORT.dump_json(report).decode())
            with self._saving() as connection:
                connection.execute("INSERT OR IGNORE INTO said VALUES (?, ?)", row)
            self._said[report.exec_id] = report
        return report

    # the floor

    def floor(self) -> int:
        """The highest numeric order id ever reserved; new ones are above it."""
        with self._lock:
            return self._floor

    def raise_floor(self, number: int) -> None:
        """Reserve every id up to `number`; a lower one changes nothing."""
        with self._lock:
            if number <= self._floor:
                return
            with self._saving() as connection:
                connection.execute("INSERT OR REPLACE INTO facts VALUES ('floor', ?)", (number,))
            self._floor = number

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    # the file

    def _open(self) -> int:
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(SCHEMA)
            self._load()
            row = self._connection.execute("SELECT value FROM facts WHERE name = 'floor'").fetchone()
        except (sqlite3.DatabaseError, ValidationError, ValueError) as error:
            raise DataFileError(
                f"the broker's order ids in {self._path} cannot be read ({type(error).__name__}: {error}). Move the "
                "file away: open orders are then taken from our own record and looked up at the broker. Restore no "
                "backup: an order sent after it was made would look as if it had never left"
            ) from error
        return int(row[0]) if row else 0

    def _load(self) -> None:
        rows = self._connection.execute("SELECT request, registered_at, is_finished FROM families ORDER BY rowid")
        for request, at, is_finished in rows:
            self._keep(Family(_REQUEST.validate_json(request), datetime.fromisoformat(at), bool(is_finished)))
        ids = self._connection.execute("SELECT kind, venue_id, client_order_id FROM ids ORDER BY number")
        for kind, venue_id, client_order_id in ids:
            self._join(IdKind(kind), venue_id, client_order_id)
        for exec_id, report in self._connection.execute("SELECT exec_id, report FROM said"):
            self._said[exec_id] = _REPORT.validate_json(report)
        since = self._connection.execute("SELECT value FROM facts WHERE name = 'kept_since'").fetchone()
        self._kept_since = EPOCH + since[0] * MICROSECOND if since else None

    @contextmanager
    def _saving(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection as connection:
                yield connection
        except sqlite3.Error as error:
            raise LedgerUnavailable(
                f"the broker's order ids cannot be written to {self._path} ({error}); nothing was sent. "
                "Check the disk and its permissions"
            ) from error

    def _keep(self, family: Family) -> None:
        for order in orders_of(family.request):
            self._families[order.client_order_id] = family

    def _join(self, kind: IdKind, venue_id: str, client_order_id: str) -> None:
        before = self._clients.get((kind, venue_id))
        if before is not None:
            self._known[(kind, before)].remove(venue_id)
        self._clients[(kind, venue_id)] = client_order_id
        self._known.setdefault((kind, client_order_id), []).append(venue_id)
