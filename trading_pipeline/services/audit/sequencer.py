"""The one writer of the audit log: outbox rows get their number, their hash and, in time, a signed checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_pipeline.domain.audit import (
    ACCEPT,
    ACCEPTED,
    MODE_CHANGED,
    RECORD_ACCEPTED,
    RENEW,
    RENEWED,
    ROTATION_ASKED,
    LoggedEntry,
    SignedCheckpoint,
    Why,
    key_id_of,
    sayable,
)
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.control import Alert, AlertLevel, AuditEntry
from trading_pipeline.domain.errors import (
    AuditError,
    AuditFormatError,
    AuditKeyError,
    AuditMismatch,
    LedgerConflict,
    LedgerError,
)
from trading_pipeline.ports.audit import AuditTransaction, Running
from trading_pipeline.services.audit.anchors import (
    Found,
    accepts_inside,
    examine,
    is_accepted,
    is_renewed,
    waits_to_accept,
)
from trading_pipeline.services.audit.chain import Chain, as_it_is
from trading_pipeline.services.audit.checkpoints import AuditDesk, CheckpointBook

log = logging.getLogger(__name__)
LEASE = "audit"
MISMATCH, OVERDUE, KEY_WRONG = "audit_mismatch", "checkpoint_overdue", "audit_key_wrong"
SETTLE = timedelta(seconds=10)
"""A transaction may have drawn its number before it is known to run: numbers below are looked at that long."""
DUE_AFTER = {MODE_CHANGED: Why.MODE, ROTATION_ASKED: Why.ROTATION}
"""Kinds of entries that a checkpoint follows at once."""
TOLD_ALOUD = {
    ACCEPTED: "it was accepted as it is", RENEWED: "a lost signing key was replaced",
    RECORD_ACCEPTED: "it was accepted that the record differs from it",
}  # fmt: skip
"""Kinds of entries of which people hear at once."""
Rows = Sequence[tuple[int, AuditEntry]]


@dataclass(slots=True)
class Settled:
    """Up to which outbox number nothing can come any more.

    PostgreSQL gives out numbers before the commit, and an undone transaction leaves a gap. A number below the highest
    seen may still come until every transaction has ended that ran when that highest one was seen.
    """

    number: int = 0
    _marks: tuple[int, Running, datetime] | None = None

    def seen(self, highest: int, running: Running, now: datetime) -> None:
        """All that a snapshot showed is in the log, and its highest number was this."""
        if self._marks is not None:
            number, ran, at = self._marks
            if running.oldest < ran.next or (ran.next and now < at + SETTLE):
                return
            self.number = number
        self._marks = (highest, running, now)


@dataclass(slots=True)
class _Open:
    """The log as this sequencer goes on with it."""

    chain: Chain
    book: CheckpointBook
    signer: bytes
    due: Why | None = None
    uncovered_since: datetime | None = None
    settled: Settled = field(default_factory=Settled)
    is_accepted: bool = False
    """Damage inside of the log was accepted by the next entry, and its checkpoint is made."""


class Sequencer:
    """A worker of the relay: looks at the end of the log first, and appends only to what it was left as."""

    name = LEASE

    def __init__(self, desk: AuditDesk, rules: AuditRules, new_id: Callable[[], str]) -> None:
        """desk.ledger: fenced by this worker's lease. new_id: names a log that has no name yet."""
        self._desk, self._rules, self._new_id = desk, rules, new_id
        self._open: _Open | None = None

    def step(self) -> timedelta:
        """Number what waits, one batch; make the checkpoint that is due. Raises AuditMismatch until a person accepts
        what was found, AuditKeyError or AuditError while no checkpoint can be made: entries are numbered all the same.
        """
        try:
            opened = self._open = self._open or self._begun()
            is_more = self._take(opened)
            self._keep_covered(opened, is_more=is_more)
        except LedgerError:
            self._open = None  # whatever is on record by now, it is looked at anew
            raise
        except AuditFormatError as error:
            self._open = None
            self._cry(MISMATCH, error)
            raise
        is_more = is_more or self._open is None
        return timedelta(0) if is_more else timedelta(seconds=self._rules.poll_seconds)

    def end(self) -> None:
        """Number the rest, and cover it with a last checkpoint; a step after that begins anew."""
        opened, self._open = self._open, None
        if opened is None:
            return
        while self._take(opened):
            self._keep_covered(opened, is_more=True)
        if opened.chain.seq > opened.book.seq:
            self._checkpoint(opened, opened.due or Why.STOP)

    def _begin(self) -> _Open:
        log_id = self._named()
        with self._desk.ledger.read() as tx:
            found = examine(tx, log_id, self._desk.anchors, self._desk.verify)
            accepted = bool(found.problem) and is_accepted(tx, found)
            inside = not found.problem and waits_to_accept(tx)
            is_made = inside and found.is_made(Why.ACCEPTED)
            chain = as_it_is(tx, log_id) if inside and not is_made else found.chain
            renewed = self._renewed(tx, found)
        if found.problem and not accepted:
            self._refuse(found)
        unwritten = found.newest if found.is_file_behind and not accepted else None
        book = CheckpointBook(self._desk, found.last, highest=found.highest, unwritten=unwritten)
        opened = _Open(chain, book, self._signer(found, renewed, accepted=accepted), is_accepted=inside)
        if accepted or (inside and not is_made):
            log.warning("the audit log goes on though %s: a person accepted that", found.problem or "it is damaged")
            self._checkpoint(opened, Why.ACCEPTED)
        else:
            opened.due = self._due_at_start(found, opened.signer)
        return opened

    def _named(self) -> str:
        with self._desk.ledger.read() as tx:
            log_id = tx.log_id()
        if log_id is None:
            log_id = self._new_id()
            with self._desk.ledger.transaction() as tx:
                tx.name_log(log_id, self._desk.clock.now())
        return log_id

    def _refuse(self, found: Found) -> None:
        message = (
            f"the audit log does not continue what was anchored: {found.problem}. Nothing is numbered any more. Look: "
            f"trading-pipeline audit verify; once it is explained, go on with: {ACCEPT} (mismatch {found.mismatch})"
        )
        alert = self._desk.alert(
            found.mismatch, AlertLevel.CRITICAL, MISMATCH, message, problem=found.problem, mismatch=found.mismatch
        )
        with self._desk.ledger.transaction() as tx:
            tx.raise_alert(alert)
        raise AuditMismatch(message)

    def _begun(self) -> _Open:
        try:
            return self._begin()
        except AuditKeyError as error:
            self._cry(KEY_WRONG, error)
            raise

    def _cry(self, kind: str, error: AuditError) -> None:
        """Once a day: nothing can be numbered or signed until a person acts."""
        today = self._desk.clock.now().date().isoformat()
        with self._desk.ledger.transaction() as tx:
            tx.raise_alert(self._desk.alert(today, AlertLevel.CRITICAL, kind, str(error)))

    def _renewed(self, tx: AuditTransaction, found: Found) -> bytes | None:
        """The present key, where a person put it in the place of one that was lost."""
        present = self._desk.keys.present()
        if present is None or found.last is None or present == next_signer(found.last):
            return None
        return present if is_renewed(tx, found, key_id_of(present)) else None

    def _signer(self, found: Found, renewed: bytes | None, *, accepted: bool) -> bytes:
        """The key that signs from now on: the one before, the one it named as next, or one that a person renewed.

        accepted: table and file do not agree, so that the one before is that of either.
        """
        keys, last = self._desk.keys, found.last
        if last is None:
            return keys.present() or keys.create()
        expected = next_signer(last)
        if last.checkpoint.next_key and keys.present() == bytes.fromhex(last.public_key):
            keys.promote_next(expected)  # a crash came after the checkpoint that named it
        present = keys.present()
        allowed = {expected, renewed, *(map(next_signer, found.ends) if accepted else ())}
        if present is not None and present in allowed:
            return present
        has = f"is {key_id_of(present)}" if present else "is missing"
        raise AuditKeyError(
            f"the audit key {has}, and the log was signed with {key_id_of(expected)}: nothing is appended. Put the "
            f"right key back; if it is lost for good: {RENEW}"
        )

    def _due_at_start(self, found: Found, signer: bytes) -> Why | None:
        if found.last is not None and signer != next_signer(found.last):
            return Why.RENEWAL
        if any(entry.kind == ROTATION_ASKED for entry in found.uncovered):
            return Why.ROTATION
        is_covered = found.newest is not None and found.newest.checkpoint.seq == found.chain.seq
        return None if is_covered else Why.START

    def _take(self, opened: _Open) -> bool:
        """True when more waits already."""
        with self._desk.ledger.read() as tx:
            rows = tx.unlogged(after=opened.settled.number, limit=self._rules.batch_entries)
            highest, running = tx.newest_numbers()["audit_outbox"], tx.running()
        now = self._desk.clock.now()
        batch = self._cut(rows, opened)
        if batch:
            self._append(opened, batch, now)
        elif rows:
            self._open = None  # the log is looked at anew, as the next entry accepts it
            return False
        is_more = len(batch) < len(rows) or len(rows) == self._rules.batch_entries
        if not is_more:
            opened.settled.seen(highest, running, now)
        return is_more

    def _cut(self, rows: Rows, opened: _Open) -> Rows:
        """Up to where a checkpoint is due: after so many entries, after what says that one is, and before what accepts
        damage."""
        room = self._rules.checkpoint_entries - opened.chain.seq % self._rules.checkpoint_entries
        for number, (_, entry) in enumerate(rows[:room], start=1):
            if accepts_inside(entry) and (number > 1 or not opened.is_accepted):
                return rows[: number - 1]
            if entry.kind in DUE_AFTER:
                return rows[:number]
        return rows[:room]

    def _append(self, opened: _Open, rows: Rows, now: datetime) -> None:
        entries, chain = opened.chain.extended(rows, now)
        with self._desk.ledger.transaction() as tx:
            require_end(tx.newest_logged(), opened.chain)
            tx.append_logged(entries)
            for number, entry in rows:
                if entry.kind in TOLD_ALOUD:
                    tx.raise_alert(self._told(number, entry))
        opened.chain, opened.is_accepted = chain, False
        opened.uncovered_since = opened.uncovered_since or now
        kind, is_full = entries[-1].kind, chain.seq % self._rules.checkpoint_entries == 0
        asked = DUE_AFTER.get(kind) or (Why.ENTRIES if is_full else None)
        if asked is Why.ROTATION or opened.due in {None, Why.START}:
            opened.due = asked or opened.due

    def _told(self, number: int, entry: AuditEntry) -> Alert:
        """What was accepted in somebody's name is told to people: whoever can write in the database can write that."""
        message = (
            f"the audit log goes on: {TOLD_ALOUD[entry.kind]} in the name of {sayable(entry.actor)} "
            f"({sayable(entry.data.get('reason', 'no reason given'))}). If it was not you: trading-pipeline kill"
        )
        return self._desk.alert(f"accepted-{number}", AlertLevel.CRITICAL, MISMATCH, message)

    def _keep_covered(self, opened: _Open, *, is_more: bool) -> None:
        """Make the checkpoint that is due; after a crash or a long pause the backlog comes first."""
        opened.book.settle()
        if opened.due is Why.START and is_more:
            return  # at the next full number of entries, or once the backlog is through
        since = opened.uncovered_since
        patience = timedelta(seconds=self._rules.checkpoint_seconds)
        why = opened.due or (Why.TIME if since and self._desk.clock.now() - since >= patience else None)
        if why is not None:
            self._checkpoint(opened, why)

    def _checkpoint(self, opened: _Open, why: Why) -> None:
        if self._desk.keys.present() != opened.signer:
            self._open = None  # renewed meanwhile, or exchanged: looked at anew
            raise AuditKeyError("the audit key was exchanged while the log was written: its end is verified anew.")
        next_key = self._desk.keys.prepare_next() if why is Why.ROTATION else b""
        opened.book.make(opened.chain, why, next_key)
        if next_key:
            self._desk.keys.promote_next(next_key)
            opened.signer = next_key
        opened.due, opened.uncovered_since = None, None


def next_signer(last: SignedCheckpoint) -> bytes:
    """The raw public key that signs the checkpoint after this one."""
    return bytes.fromhex(last.checkpoint.next_key or last.public_key)


def require_end(last: LoggedEntry | None, chain: Chain) -> None:
    """Raise LedgerConflict unless the log ends where this sequencer left it: it must not go on beside another one."""
    seq, head = (last.seq, last.head) if last else (0, None)
    if seq != chain.seq or (head is not None and head != chain.head.hex()):
        raise LedgerConflict(
            f"the audit log ends at entry {seq}, and this sequencer left it at {chain.seq}: somebody else wrote it. "
            "Nothing was appended; its end is verified anew."
        )
