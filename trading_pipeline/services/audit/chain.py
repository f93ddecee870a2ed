"""Where the log stands: its number, head and Merkle tree, as they grow and as they are read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.audit import (
    Frontier,
    LoggedEntry,
    SignedCheckpoint,
    body_of,
    first_head,
    leaf_of,
    next_head,
    sayable,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import AuditTransaction

PAGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The log after its first `seq` entries. Never changed: what is not committed leaves no trace here."""

    log_id: str
    seq: int
    head: bytes
    frontier: Frontier

    @classmethod
    def empty(cls, log_id: str) -> Chain:
        """Of the log without entries."""
        return cls(log_id=log_id, seq=0, head=first_head(log_id), frontier=Frontier())

    def extended(self, rows: Sequence[tuple[int, AuditEntry]], at: datetime) -> tuple[list[LoggedEntry], Chain]:
        """Rows of the outbox as the next entries, recorded at `at`, and the log after them."""
        entries, head, frontier = list[LoggedEntry](), self.head, self.frontier.copy()
        for seq, (outbox_no, entry) in enumerate(rows, start=self.seq + 1):
            body = body_of(seq, at, entry)
            leaf = leaf_of(body)
            head = next_head(head, leaf)
            frontier.append(leaf)
            entries.append(LoggedEntry(
                seq=seq, outbox_no=outbox_no, body=body, leaf=leaf.hex(), head=head.hex(), kind=sayable(entry.kind),
                account=sayable(entry.account), subject=sayable(entry.subject), occurred_at=entry.occurred_at,
            ))  # fmt: skip
        return entries, Chain(log_id=self.log_id, seq=self.seq + len(entries), head=head, frontier=frontier)

    def after(self, entry: LoggedEntry) -> Chain:
        """The log after one more entry as it is stored; raises AuditFormatError, naming it, when it does not follow."""
        leaf, frontier = leaf_of(entry.body), self.frontier.copy()
        head = next_head(self.head, leaf)
        if entry.seq != self.seq + 1:
            raise AuditFormatError(f"entry {self.seq + 1} is missing")
        if (entry.leaf, entry.head) != (leaf.hex(), head.hex()):
            raise AuditFormatError(f"entry {entry.seq} was changed: it does not follow entry {self.seq}")
        frontier.append(leaf)
        return Chain(log_id=self.log_id, seq=entry.seq, head=head, frontier=frontier)


def logged_after(tx: AuditTransaction, seq: int) -> Iterator[LoggedEntry]:
    """Every entry above a number, ascending, read a page at a time."""
    page = tx.logged(after=seq, limit=PAGE)
    while page:
        yield from page
        page = tx.logged(after=page[-1].seq, limit=PAGE)


def at_checkpoint(tx: AuditTransaction, log_id: str, newest: SignedCheckpoint | None) -> Chain:
    """The log as the checkpoint signed it; raises AuditFormatError when the stored entries are others."""
    if newest is None:
        return Chain.empty(log_id)
    said = newest.checkpoint
    last = next(iter(tx.logged(after=said.seq - 1, limit=1)), None) if said.seq else None
    stored_head = first_head(log_id).hex() if not said.seq else last.head if last and last.seq == said.seq else ""
    is_whole = last is None or last.leaf == leaf_of(last.body).hex()
    if stored_head != said.head or not is_whole:
        what = "is missing" if said.seq and not stored_head else "was changed"
        raise AuditFormatError(f"entry {said.seq}, the last of checkpoint {said.number}, {what}")
    frontier = _frontier(tx, said.seq, tx.frontier(said.number), bytes.fromhex(said.root))
    return Chain(log_id=log_id, seq=said.seq, head=bytes.fromhex(said.head), frontier=frontier)


def _frontier(tx: AuditTransaction, size: int, text: str | None, root: bytes) -> Frontier:
    """The stored subtrees when they give the signed root, else those of the entries themselves."""
    try:
        frontier = Frontier.read(size, text or "")
    except AuditFormatError:
        frontier = Frontier()
    if frontier.size == size and frontier.root() == root:
        return frontier
    frontier = Frontier()
    for entry in logged_after(tx, 0):
        if entry.seq <= size:
            frontier.append(leaf_of(entry.body))
    if frontier.root() != root:
        raise AuditFormatError(f"the first {size} entries do not give the Merkle root that was signed for them")
    return frontier


def as_it_is(tx: AuditTransaction, log_id: str) -> Chain:
    """The log as the database has it, whatever became of it: where it goes on once a person has accepted that."""
    chain = Chain.empty(log_id)
    head, frontier, seq = chain.head, chain.frontier, 0
    for entry in logged_after(tx, 0):
        leaf = leaf_of(entry.body)
        frontier.append(leaf)
        seq, head = entry.seq, hash_of(entry.head) or next_head(head, leaf)
    return Chain(log_id=log_id, seq=seq, head=head, frontier=frontier)


def hash_of(text: str) -> bytes | None:
    """The hash that a text says; None where it says none."""
    try:
        found = bytes.fromhex(text)
    except (TypeError, ValueError):
        return None
    return found if len(found) == 32 else None
