"""What the audit log asks of the world: its tables, its keys, the file that its checkpoints are anchored in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trading_pipeline.domain.audit import LoggedEntry, SignedCheckpoint
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.ports.ledger import LedgerTransaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Which database transactions may still commit rows that are not seen yet (PostgreSQL's snapshot).

    oldest: the lowest that still ran. next: the first that had not begun. Both 0 where writers are one at a time.
    """

    oldest: int
    next: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is not in the log yet. entries: outbox rows after the newest that is. oldest_no: the first of them.

    occurred_at: its instant, by the clock of whoever wrote it.
    """

    entries: int
    oldest_no: int | None = None
    occurred_at: datetime | None = None


class AuditTransaction(LedgerTransaction, Protocol):
    """One transaction of the ledger that sees the audit log's tables too."""

    def log_id(self) -> str | None:
        """The log's name; None before its first entry."""

    def name_log(self, log_id: str, at: datetime) -> None:
        """Name it, once; LedgerConflict when it has a name."""

    def newest_logged(self) -> LoggedEntry | None:
        """The entry with the highest number."""

    def logged(self, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        """Entries with numbers above `after`, ascending."""

    def compared(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[LoggedEntry, AuditEntry | None]]:
        """The same, each with the outbox row it names; None where there is none."""

    def unlogged(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        """Outbox rows numbered above `after` that are not in the log, ascending; `after` 0 looks at every row."""

    def running(self) -> Running:
        """Which transactions may still commit what this one does not see."""

    def waiting(self) -> Waiting:
        """What is not in the log yet."""

    def append_logged(self, entries: Sequence[LoggedEntry]) -> None:
        """LedgerConflict when a number or an outbox row is taken already: somebody else appends too."""

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        """The one with the highest number."""

    def highest_checkpoint(self) -> int:
        """Its number, whatever its text says; 0 for none."""

    def checkpoints(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedCheckpoint]:
        """Checkpoints with numbers above `after`, ascending."""

    def frontier(self, number: int) -> str | None:
        """The Merkle subtrees stored beside that checkpoint: trusted only when they give its root."""

    def add_checkpoint(self, signed: SignedCheckpoint, frontier: str) -> None:
        """LedgerConflict when its number is taken: somebody else signs too."""


class AuditLedger(Protocol):
    """The ledger, seen by those who keep and verify the audit log."""

    def transaction(self) -> AbstractContextManager[AuditTransaction]:
        """Read and write."""

    def read(self) -> AbstractContextManager[AuditTransaction]:
        """Read one consistent state."""


class AuditKeys(Protocol):
    """Ed25519 keys of the log's checkpoints. Raises AuditKeyError when they cannot be used safely."""

    def present(self) -> bytes | None:
        """The raw public key of whoever signs now; None where there is no key."""

    def is_lost(self) -> bool:
        """True when there is no key, or nothing that is one."""

    def create(self) -> bytes:
        """The first key; AuditKeyError where there is one."""

    def sign(self, message: bytes) -> bytes:
        """The signature of the present key."""

    def prepare_next(self) -> bytes:
        """The raw public key of the next key, made when there is none; the present one still signs."""

    def promote_next(self, public_key: bytes) -> None:
        """The next key signs from now on; of the one before only the public half is kept. Twice is once.

        public_key: of the key that is meant; AuditKeyError when it is neither the next nor the present one.
        """


class Verifier(Protocol):
    """Whether a signature is one."""

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """False for anything that is not a valid signature by that raw public key, whatever it looks like."""


class AnchorFile(Protocol):
    """An append-only file of checkpoints outside the database. Raises AuditError when it cannot be read or written."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def lines(self) -> Iterator[SignedCheckpoint]:
        """Every whole line, in order, read as they are asked for. A last line without its end is what a crash left: it
        does not count.

        Raises AuditFormatError for any other line that is no checkpoint.
        """

    def newest(self) -> SignedCheckpoint | None:
        """The last whole line."""

    def append(self, signed: SignedCheckpoint) -> None:
        """One more line, durably; what a crash left of a last line is cut off first."""
