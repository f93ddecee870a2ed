"""Whether the log in the database continues what was anchored outside of it.

A checkpoint goes into the table first, then into the file. So the file may lack the newest checkpoint alone: a crash
came between, and it is written again. A file that lacks more, or that has what the table has not, is an alarm: the
database was rolled back, the file was swapped or cut. So is an entry after the newest checkpoint that does not follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from trading_pipeline.domain.audit import (
    ACCEPTED,
    MODE_CHANGED,
    RENEWED,
    ROTATION_ASKED,
    LoggedEntry,
    SignedCheckpoint,
    Why,
    canonical,
    key_id_of,
    read_body,
    signed_bytes,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import AnchorFile, AuditTransaction, Verifier
from trading_pipeline.services.audit.chain import PAGE, Chain, as_it_is, at_checkpoint, logged_after

ACTED_ON = frozenset({MODE_CHANGED, ROTATION_ASKED, RENEWED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the database and the file say. newest, anchored: their last checkpoints, where somebody's signature is on
    them. highest: the table's highest number. uncovered: entries after `newest` that the log acts on. problem: why the
    two do not fit, in words; empty when they do.
    """

    chain: Chain
    highest: int = 0
    newest: SignedCheckpoint | None = None
    anchored: SignedCheckpoint | None = None
    uncovered: tuple[LoggedEntry, ...] = ()
    problem: str = ""

    @property
    def last(self) -> SignedCheckpoint | None:
        """Whichever is further: what the next checkpoint continues."""
        return max(self.ends, key=lambda one: one.checkpoint.number, default=None)

    @property
    def ends(self) -> list[SignedCheckpoint]:
        """Those there are, the table's first."""
        return [one for one in (self.newest, self.anchored) if one is not None]

    @property
    def is_file_behind(self) -> bool:
        """True when the newest checkpoint is still to be written into the file."""
        return self.newest is not None and self.newest != self.anchored

    def is_made(self, why: Why) -> bool:
        """True when the newest checkpoint was made for that, and covers all there is."""
        said = self.newest.checkpoint if self.newest is not None else None
        return said is not None and (said.why, said.seq) == (why, self.chain.seq)

    @property
    def mismatch(self) -> str:
        """A short name of exactly this state: what a person accepts is this, and nothing that comes later."""
        ends = {"database": self.newest, "file": self.anchored}
        state = {
            "highest": str(self.highest),
            "log": self.chain.log_id,
            "seq": self.chain.seq,
            "head": self.chain.head.hex(),
            "problem": self.problem,
            **{place: newest.digest if newest else "" for place, newest in ends.items()},
        }
        return hashlib.sha256(canonical(state).encode()).hexdigest()[:16]


@dataclass(slots=True)
class _Look:
    """One look at the log, begun at its newest checkpoint."""

    tx: AuditTransaction
    log_id: str
    verify: Verifier
    uncovered: list[LoggedEntry] = field(default_factory=list)

    def chain(self, newest: SignedCheckpoint | None) -> Chain:
        """The log up to its end; raises AuditFormatError, saying what, when it is not what was signed and chained."""
        require_signed(newest, "the newest checkpoint of the database", self.log_id, self.verify)
        chain = at_checkpoint(self.tx, self.log_id, newest)
        for entry in logged_after(self.tx, chain.seq):
            chain = chain.after(entry)
            if entry.kind in ACTED_ON:
                self.uncovered.append(entry)
        return chain


def examine(tx: AuditTransaction, log_id: str, anchors: AnchorFile, verify: Verifier) -> Found:
    """Look at the end of the log and of the file; raises AuditError when the file cannot be read at all."""
    look, newest, anchored = _Look(tx, log_id, verify), None, None
    try:
        newest = tx.newest_checkpoint()
        chain = look.chain(newest)
        anchored = anchors.newest()
        require_signed(anchored, f"the last line of {anchors.place}", log_id, verify)
        problem = _difference(newest, anchored, anchors.place)
    except AuditFormatError as error:
        return Found(
            chain=as_it_is(tx, log_id), newest=_genuine(newest, verify), anchored=_genuine(_readable(anchors), verify),
            highest=tx.highest_checkpoint(), problem=str(error),
        )  # fmt: skip
    return Found(
        chain=chain, newest=newest, anchored=anchored, highest=tx.highest_checkpoint(),
        uncovered=tuple(look.uncovered), problem=problem,
    )  # fmt: skip


def require_signed(signed: SignedCheckpoint | None, what: str, log_id: str, verify: Verifier) -> None:
    """Raise AuditFormatError unless it is of this log and the key it names has signed it."""
    if signed is None:
        return
    said = signed.checkpoint
    if said.log_id != log_id:
        raise AuditFormatError(f"{what} is of log {said.log_id}, and the database holds log {log_id}")
    if not is_signed(signed, verify):
        raise AuditFormatError(f"{what} (number {said.number}) does not bear the signature of key {said.key_id}")


def is_signed(signed: SignedCheckpoint, verify: Verifier) -> bool:
    """True when the key that it names has signed it, whoever's that is; raises AuditFormatError for no checkpoint."""
    key, signature = _bytes(signed.public_key), _bytes(signed.signature)
    return key_id_of(key) == signed.checkpoint.key_id and verify(key, signed_bytes(signed.text), signature)


def _difference(newest: SignedCheckpoint | None, anchored: SignedCheckpoint | None, place: str) -> str:
    in_table = newest.checkpoint.number if newest else 0
    in_file = anchored.checkpoint.number if anchored else 0
    if newest == anchored:
        return ""
    if newest is not None and newest.checkpoint.previous == (anchored.digest if anchored else ""):
        return ""  # a crash came between the table and the file
    if in_file > in_table:
        at = anchored.checkpoint.seq if anchored else 0
        return (
            f"{place} ends with checkpoint {in_file} at entry {at}, and the database with {in_table}: the database was "
            "rolled back or replaced, or its newest checkpoints were removed"
        )
    if in_file == in_table:
        return f"checkpoint {in_file} is another one in {place} than in the database: one of them was replaced"
    return (
        f"{place} ends with checkpoint {in_file}, and the database with {in_table}: lines were cut from the file, or "
        "it is another file"
    )


def said_in(rows: Iterable[AuditEntry], kind: str, name: str, value: str) -> bool:
    """True when one of the entries is of the kind and says so."""
    return any(entry.kind == kind and entry.data.get(name) == value for entry in rows)


def waits_unlogged(tx: AuditTransaction, after: int, kind: str, name: str, value: str) -> bool:
    """The same of the outbox rows that are not in the log yet."""
    page = tx.unlogged(after=after, limit=PAGE)
    while page:
        if said_in((entry for _, entry in page), kind, name, value):
            return True
        page = tx.unlogged(after=page[-1][0], limit=PAGE)
    return False


def is_accepted(tx: AuditTransaction, found: Found) -> bool:
    """True when a person accepted exactly this: the entry that says so waits to be the next of the log."""
    return waits_unlogged(tx, 0, ACCEPTED, "mismatch", found.mismatch)


def accepts_inside(entry: AuditEntry) -> bool:
    """True for an entry by which a person accepts damage inside of the log, whose end fits its anchors."""
    return entry.kind == ACCEPTED and not entry.data.get("mismatch")


def waits_to_accept(tx: AuditTransaction) -> bool:
    """True when such an entry is the next of the log."""
    return any(accepts_inside(entry) for _, entry in tx.unlogged(limit=1))


def is_renewed(tx: AuditTransaction, found: Found, key_id: str) -> bool:
    """True when a person replaced a lost key by this one, in an entry that no checkpoint covers yet."""
    covered = (read_body(one.body)["data"].get("key_id") for one in found.uncovered if one.kind == RENEWED)
    return key_id in set(covered) or waits_unlogged(tx, 0, RENEWED, "key_id", key_id)


def _readable(anchors: AnchorFile) -> SignedCheckpoint | None:
    try:
        return anchors.newest()
    except AuditFormatError:
        return None


def _genuine(signed: SignedCheckpoint | None, verify: Verifier) -> SignedCheckpoint | None:
    try:
        return signed if signed is not None and is_signed(signed, verify) else None
    except AuditFormatError:
        return None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
