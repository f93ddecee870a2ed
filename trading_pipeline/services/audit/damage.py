"""What can be wrong with an audit log: each kind with what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trading_pipeline.domain.audit import ACCEPT

KEEP = "Stop trading (trading-pipeline kill), keep a copy of the database and of the anchor file as they are"
COMPARE = "compare with the newest backup and with an export made elsewhere"
GO_ON = f"go on with a reason on record: {ACCEPT}"


class Kind(StrEnum):
    """What sort of damage."""

    EDITED = "edited"
    MISSING = "missing"
    MISPLACED = "misplaced"
    CHAIN = "chain"
    COLUMN = "column"
    OUTBOX = "outbox"
    NO_OUTBOX = "no_outbox"
    UNREADABLE = "unreadable"
    CHECKPOINT = "checkpoint"
    SIGNATURE = "signature"
    KEY = "key"
    CONTRADICTED = "contradicted"
    REWRITTEN = "rewritten"
    CUT = "cut"
    OTHER_LOG = "other_log"
    ANCHORS = "anchors"

    @property
    def meaning(self) -> str:
        """In words."""
        return MEANINGS[self]


MEANINGS = {
    Kind.EDITED: "an entry's text or its hash was changed",
    Kind.MISSING: "entries were deleted, or their order was changed",
    Kind.MISPLACED: "an entry was put in or moved",
    Kind.CHAIN: "entries were changed and their hashes made anew: the chain does not go on",
    Kind.COLUMN: "a column for look-ups differs from the entry's text",
    Kind.OUTBOX: "the outbox row and the entry made from it differ: one of them was changed",
    Kind.NO_OUTBOX: "no outbox row is where the entry came from: the entry was made up, or the row was deleted",
    Kind.UNREADABLE: "what is stored cannot be read",
    Kind.CHECKPOINT: "a checkpoint was deleted, replaced or changed",
    Kind.SIGNATURE: "a checkpoint was not signed by the key it names",
    Kind.KEY: "a checkpoint was signed by a key that nobody took on",
    Kind.CONTRADICTED: "a signed checkpoint says something else than the entries: they were rewritten",
    Kind.REWRITTEN: "a checkpoint is another one than was kept outside of the database: the log was rewritten by "
    "somebody who has the signing key",
    Kind.CUT: "a checkpoint that was kept outside of the database is not there: the end was cut off, or an older state "
    "of the database was put in place",
    Kind.OTHER_LOG: "the checkpoints kept outside of the database are of another log: the database was swapped",
    Kind.ANCHORS: "the checkpoints kept outside of the database cannot be trusted themselves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """seq: the first entry that does not fit. since: entries from here on are in doubt; equal to `seq` when only that
    one can be the first bad one. accepted_at: number of the checkpoint by which a person went on all the same.
    """

    kind: Kind
    seq: int
    since: int
    seen: str
    accepted_at: int | None = None

    @property
    def where(self) -> str:
        """Which entry is the first bad one."""
        if self.since >= self.seq:
            return f"the first bad entry is {self.seq}"
        return f"the first bad entry is one of {self.since} to {self.seq}"

    @property
    def words(self) -> str:
        """All of it, in one line."""
        return f"{self.where}: {self.kind.meaning}. {self.seen}"

    @property
    def advice(self) -> str:
        """What to do."""
        return f"{KEEP}; {COMPARE}; find out who could write there; then {GO_ON}"


class Damaged(Exception):
    """Raised where the log does not hold; caught by whoever judges it."""

    def __init__(self, kind: Kind, seq: int, seen: str, *, since: int | None = None) -> None:
        self.damage = Damage(kind=kind, seq=seq, since=seq if since is None else min(since, seq), seen=seen)
        super().__init__(self.damage.words)
