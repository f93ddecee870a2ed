"""The durable record, on SQLite (embedded, the default) or PostgreSQL, chosen by one URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger_control import require_held
from trading_pipeline.adapters.ledger_engine import LOCK_WAIT_SECONDS, ledger_engine, make_folder, require_no_lone_log
from trading_pipeline.adapters.ledger_errors import place_of
from trading_pipeline.adapters.ledger_guards import APPEND_ONLY, missing_guards
from trading_pipeline.adapters.ledger_outbox import Outbox
from trading_pipeline.adapters.ledger_transaction import SqlTransaction
from trading_pipeline.adapters.ledger_wire import BEGIN_WRITING, Wires
from trading_pipeline.adapters.migrations import bring_up_to_date
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import NotReady

REAL_CLOCK = SystemClock()


def default_url(home: Path) -> str:
    """The embedded ledger of a home folder."""
    return URL.create("sqlite", database=str(home / "ledger.sqlite3")).render_as_string(hide_password=False)


class SqlLedger:
    """ports.Ledger on SQLAlchemy. One writer at a time: a transaction inside another one waits in vain."""

    def __init__(
        self, url: str, *, lock_wait_seconds: float = LOCK_WAIT_SECONDS, now: Callable[[], datetime] = REAL_CLOCK.now
    ) -> None:
        """lock_wait_seconds: how long to wait for another writer. now: the real clock, by which leases expire."""
        self._engine = ledger_engine(url, lock_wait_seconds)
        self._wires = Wires(self._engine)
        self._now = now
        self._fence: Lease | None = None

    @classmethod
    def open(cls, url: str, *, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> SqlLedger:
        """The ledger with the tables this code knows; creates or upgrades them when needed."""
        ledger = cls(url, lock_wait_seconds=lock_wait_seconds)
        make_folder(ledger._engine.url)
        require_no_lone_log(ledger._engine.url)
        bring_up_to_date(ledger._engine)
        return ledger

    @property
    def place(self) -> str:
        """Where the record is kept, for people: the file, or the database's URL without its password."""
        return place_of(self._engine.url)

    def require_append_only(self) -> str:
        """What was seen, in words; raises NotReady when recorded rows could be changed or deleted."""
        missing = missing_guards(self._engine)
        if missing:
            raise NotReady(
                f"the ledger {self.place} lacks {len(missing)} trigger(s) that keep recorded rows from being changed "
                f"(first: {missing[0]}): somebody removed them. Restore the newest backup: trading-pipeline db restore"
            )
        return f"{len(APPEND_ONLY)} tables refuse changes"

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """Read and write: commits when the block ends, rolls back when it raises."""
        return _Writing(self._wires, self._fence, self._now)

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """Read one consistent state; never waits for a writer."""
        with self._wires.reading() as wire:
            yield SqlTransaction(wire, Outbox(), writable=False)

    def fenced(self, lease: Lease) -> SqlLedger:
        """The same ledger for the holder of a lease: once it is lost, writing raises LeaseLost and changes nothing."""
        fenced = copy(self)
        fenced._fence = lease
        return fenced

    def close(self) -> None:
        """Give the connections back to the operating system."""
        self._wires.close()
        self._engine.dispose()


class _Writing:
    """The block of one transaction that writes. A class: a generator's block costs as much as a statement."""

    __slots__ = ("_fence", "_now", "_outbox", "_wire", "_wires")

    def __init__(self, wires: Wires, fence: Lease | None, now: Callable[[], datetime]) -> None:
        self._wires, self._fence, self._now = wires, fence, now

    def __enter__(self) -> SqlTransaction:
        wire = self._wire = self._wires.take(self._wires.writers)
        try:
            wire.begin(BEGIN_WRITING)
            if self._fence is not None:
                require_held(wire, self._fence, self._now())
        except BaseException as error:
            wire.give_up(error)
            raise
        self._outbox = Outbox()
        return SqlTransaction(wire, self._outbox, writable=True)

    def __exit__(self, _kind: object, raised: BaseException | None, _where: object) -> None:
        wire = self._wire
        if raised is not None:
            wire.give_up(raised)
            return
        try:
            self._outbox.flush(wire)
            wire.commit()
        except BaseException as error:
            wire.give_up(error)
            raise
        self._wires.rest(wire, self._wires.writers)
        self._outbox.log()
