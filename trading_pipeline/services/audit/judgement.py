"""Whether the audit log is what it was: every entry, its outbox row and every checkpoint, one after the other.

A chain of hashes shows what was changed inside; a cut end, a rewritten log, another log or an older one only shows
against signatures and against checkpoints that were kept elsewhere (E-47).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from json.encoder import encode_basestring as quoted
from typing import Any

from trading_pipeline.domain.audit import (
    ACCEPTED,
    RENEWED,
    Checkpoint,
    Frontier,
    LoggedEntry,
    SignedCheckpoint,
    Why,
    body_of,
    first_head,
    instant_of,
    instant_text,
    key_id_of,
    leaf_of,
    next_head,
    read_body,
    sayable,
    signed_bytes,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import Verifier
from trading_pipeline.services.audit.chain import hash_of
from trading_pipeline.services.audit.damage import Damaged, Kind
from trading_pipeline.services.audit.kept import Kept, KeptElsewhere, said_by


class Judge:
    """The log as far as it was read. Of the log itself it keeps no more than some hashes.

    seq: the last entry read. signed, anchored: entries up to here are covered by a checkpoint, and by one that was
    kept elsewhere. notes: what is no damage and worth knowing.
    """

    def __init__(self, log_id: str, kept: KeptElsewhere, verify: Verifier) -> None:
        self.log_id, self.kept, self._verify = log_id, kept, verify
        self.seq = self.signed = self.anchored = self.number = 0
        self.head, self.tree = first_head(log_id), Frontier()
        self.key_id = ""
        self.notes: list[str] = []
        self._previous = ""
        self._next_key_id: str | None = None
        self._renewed: set[str] = set()
        self._accepted_at: int | None = None
        self._mark = (0, self.head, Frontier())

    def __deepcopy__(self, _memo: object) -> Judge:
        """What was kept elsewhere and the way to verify are shared."""
        twin = Judge(self.log_id, self.kept, self._verify)
        own = {**vars(self), "tree": self.tree.copy(), "notes": [*self.notes], "_renewed": {*self._renewed}}
        vars(twin).update(own)
        return twin

    def require_own_log(self) -> None:
        """Raise Damaged when checkpoints were kept elsewhere, and none of them is of this log."""
        others = self.kept.log_ids - {self.log_id}
        if others and self.log_id not in self.kept.log_ids:
            raise Damaged(Kind.OTHER_LOG, 1, f"They are of log {min(others)}, and this is {self.log_id or 'none'}.")

    def back(self) -> None:
        """To where the last good checkpoint was: what follows is read again."""
        self.seq, self.head, tree = self._mark
        self.tree = tree.copy()

    def _note(self, words: str) -> None:
        if words not in self.notes:  # it may be read twice
            self.notes.append(words)

    # entries

    def entry(self, logged: LoggedEntry, told: AuditEntry | None) -> None:
        """The next entry, with the outbox row it names; raises Damaged, and has not moved then."""
        seq = self.seq + 1
        if logged.seq != seq:
            raise Damaged(Kind.MISSING if logged.seq > seq else Kind.MISPLACED, min(logged.seq, seq),
                          f"Entry {logged.seq} follows on entry {self.seq}.")  # fmt: skip
        leaf = _leaf_of(logged)
        if leaf.hex() != logged.leaf:
            raise Damaged(Kind.EDITED, seq, "Its text does not give the hash beside it.")
        is_told = told is not None and _is_quickly_told(logged, told)
        if not is_told:
            is_told = _is_told(logged, told)
        head = next_head(self.head, leaf)
        if head.hex() != logged.head:
            raise Damaged(Kind.CHAIN, seq, f"The chain breaks at entry {seq}.", since=self.signed + 1)
        _require_same(logged, told, is_told)
        self.seq, self.head = seq, head
        self.tree.append(leaf)
        if logged.kind in ACTED_ON:
            self._remember(read_body(logged.body))

    def skip(self, logged: LoggedEntry) -> None:
        """An entry between damage and its acceptance: counted as it is, and not judged."""
        leaf = _leaf_of(logged)
        self.tree.append(leaf)
        self.seq, self.head = logged.seq, hash_of(logged.head) or next_head(self.head, leaf)
        if logged.kind in ACTED_ON:
            try:
                self._remember(read_body(logged.body))
            except AuditFormatError as error:
                self._note(f"entry {logged.seq} cannot be read: {error}")

    def _remember(self, body: Mapping[str, Any]) -> None:
        said, words = body["data"], f"entry {body['seq']}, {body['recorded_at']}: {body['actor']}"
        if body["kind"] == RENEWED:
            self._renewed.add(said.get("key_id", ""))
            self._note(f"{words} replaced a lost signing key by {said.get('key_id', '?')}")
        else:
            where = f"checkpoint {self._accepted_at}" if self._accepted_at else "no checkpoint"
            self._note(f"{words} accepted what was found before {where}: {said.get('reason', 'no reason given')}")
            self._accepted_at = None

    # checkpoints

    def checkpoint(self, signed: SignedCheckpoint, frontier: str | None) -> None:
        """The next checkpoint of the table, once its last entry was read; raises Damaged.

        frontier: the Merkle subtrees stored beside it.
        """
        said = self._said(signed)
        if said.seq > self.seq:
            raise Damaged(Kind.MISSING, self.seq + 1, f"Checkpoint {said.number} covers {said.seq} entries, and "
                          f"{self.seq} are there.")  # fmt: skip
        if (said.number, said.previous) != (self.number + 1, self._previous):
            raise self._doubt(Kind.CHECKPOINT, f"Checkpoint {said.number} does not follow on checkpoint {self.number}.")
        self._require_signature(signed, said)
        if (said.log_id, said.seq, said.head) != (self.log_id, self.seq, self.head.hex()):
            raise self._doubt(Kind.CONTRADICTED, f"Checkpoint {said.number} is signed over entry {said.seq}, another.")
        self._close(signed, said, frontier)

    def resume(self, signed: SignedCheckpoint, frontier: str | None, named: Collection[str] = ()) -> None:
        """Go on at a checkpoint that accepts what was found before it; raises Damaged when it does not hold itself.

        named: ids of the keys that people named there: one of them may have signed, see coverage.keys_named_after.
        """
        said = self._said(signed)
        expected = self._next_key_id or self.key_id or said.key_id
        if said.key_id in named and said.key_id != expected:
            self._renewed.add(said.key_id)
            self._note(f"checkpoint {said.number} is signed by {said.key_id} and not by {expected}: who accepted what "
                       "was found before it named that key")  # fmt: skip
        self._require_signature(signed, said)
        if said.why is not Why.ACCEPTED or said.seq != self.seq:
            raise self._doubt(Kind.CONTRADICTED, f"Checkpoint {said.number} is of {said.seq} entries.")
        self.head = bytes.fromhex(said.head)
        self._accepted_at = said.number
        self._close(signed, said, frontier)

    def _said(self, signed: SignedCheckpoint) -> Checkpoint:
        try:
            return said_by(signed.text)
        except AuditFormatError as error:
            raise self._doubt(Kind.CHECKPOINT, f"What follows on checkpoint {self.number}: {error}") from error

    def _close(self, signed: SignedCheckpoint, said: Checkpoint, frontier: str | None) -> None:
        if said.root != self.tree.root().hex():
            raise self._doubt(Kind.CONTRADICTED, f"Checkpoint {said.number} is signed over another Merkle tree.")
        if frontier is not None and frontier != self.tree.text():
            raise self._doubt(Kind.CHECKPOINT, f"The subtrees beside checkpoint {said.number} are not its own.")
        kept = self.kept.name(said.number)
        if kept is not None and kept != Kept.of(signed).name:
            raise Damaged(Kind.REWRITTEN, max(self.seq, 1), f"Checkpoint {said.number} is the first that differs.",
                          since=self.anchored + 1)  # fmt: skip
        self.anchored = said.seq if kept is not None else self.anchored
        self.signed, self.number, self._previous, self.key_id = said.seq, said.number, signed.digest, said.key_id
        self._next_key_id = key_id_of(bytes.fromhex(said.next_key)) if said.why is Why.ROTATION else None
        self._mark = (self.seq, self.head, self.tree.copy())

    def _require_signature(self, signed: SignedCheckpoint, said: Checkpoint) -> None:
        """By the key it names, and that by the one before: by rotation, or by a person where it was lost."""
        if not self.is_signed(signed, said):
            raise self._doubt(Kind.SIGNATURE, f"Checkpoint {said.number} names key {said.key_id}.")
        expected = self._next_key_id or self.key_id or said.key_id
        if said.key_id == expected:
            return
        if said.key_id not in self._renewed:
            raise self._doubt(Kind.KEY, f"Checkpoint {said.number} is signed by {said.key_id} instead of {expected}.")

    def is_signed(self, signed: SignedCheckpoint, said: Checkpoint) -> bool:
        """True when the key that the checkpoint names has signed it."""
        try:
            key, signature = bytes.fromhex(signed.public_key), bytes.fromhex(signed.signature)
        except ValueError:
            return False
        return key_id_of(key) == said.key_id and self._verify(key, signed_bytes(signed.text), signature)

    def _doubt(self, kind: Kind, seen: str) -> Damaged:
        """Damage somewhere after the last entry that a good checkpoint covers."""
        return Damaged(kind, max(self.seq, self.signed + 1), seen, since=self.signed + 1)

    # the end

    def end(self, present_key: bytes | None, *, needs_kept: bool = False) -> None:
        """Nothing more is in the tables; raises Damaged when more was kept elsewhere, or when it is not our key.

        present_key: of whoever signs now; None where it is not known. needs_kept: all checkpoints were kept elsewhere,
        but for the newest, which a crash may have left out.
        """
        kept = self.kept.newest
        if kept is not None and kept.number > self.number:
            first = self.seq + 1 if kept.seq > self.seq else max(self.seq, 1)
            raise Damaged(Kind.CUT, first, f"Checkpoint {kept.number} of {kept.seq} entries was kept elsewhere; the "
                          f"database ends with checkpoint {self.number} and entry {self.seq}.",
                          since=self.anchored + 1)  # fmt: skip
        if needs_kept and self.number - (kept.number if kept else 0) > 1:
            newest = f"checkpoint {kept.number}" if kept else "none"
            raise Damaged(Kind.ANCHORS, max(self.seq, 1), f"The newest kept is {newest} of {self.number}: lines were "
                          "cut, the file is gone, or it is another one.", since=self.anchored + 1)  # fmt: skip
        if present_key is None or not self.number:
            return
        key_id = key_id_of(present_key)
        if key_id not in {self.key_id, self._next_key_id, *self._renewed}:
            raise Damaged(Kind.KEY, max(self.seq, 1), f"Checkpoint {self.number} is signed by {self.key_id}, and the "
                          f"key here is {key_id}.", since=self.anchored + 1)  # fmt: skip


ACTED_ON = frozenset({RENEWED, ACCEPTED})
RECORDED_AT, LENGTH_OF_INSTANT = '"recorded_at":"', len("2025-03-10T14:15:00.000000Z")


def _leaf_of(logged: LoggedEntry) -> bytes:
    try:
        return leaf_of(logged.body)
    except (AttributeError, UnicodeEncodeError) as error:
        raise Damaged(Kind.UNREADABLE, logged.seq, f"Its text cannot be read: {error}.") from error


def _is_quickly_told(logged: LoggedEntry, told: AuditEntry) -> bool:
    """True when the text is what its outbox row says, and that is simple to see."""
    body = logged.body
    start = body.rfind(RECORDED_AT) + len(RECORDED_AT)
    return quick_body(logged.seq, body[start : start + LENGTH_OF_INSTANT], told) == body


def _is_told(logged: LoggedEntry, told: AuditEntry | None) -> bool:
    """Whether the text is what its outbox row says; raises Damaged when it is no canonical entry, or another one's."""
    try:
        body = read_body(logged.body)
        seq, recorded_at = int(body["seq"]), instant_of(body["recorded_at"])
        if seq == logged.seq:
            return told is not None and body_of(seq, recorded_at, told) == logged.body
    except (AuditFormatError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged(Kind.EDITED, logged.seq, f"Its text is no canonical entry: {error}") from error
    raise Damaged(Kind.MISPLACED, min(seq, logged.seq), f"The text of entry {logged.seq} says {seq}.")


def quick_body(seq: int, recorded_at: str, told: AuditEntry) -> str:
    """What `body_of` writes, in a tenth of the time; nothing where that is not simple."""
    data = told.data
    try:
        names = sorted(data)
        if not "".join(names).isascii():  # RFC 8785 sorts by UTF-16
            return ""
        pairs = ",".join([f"{quoted(name)}:{quoted(data[name])}" for name in names])
        return (
            f'{{"account":{quoted(told.account)},"actor":{quoted(told.actor)},"data":{{{pairs}}},'
            f'"kind":{quoted(told.kind)},"occurred_at":"{instant_text(told.occurred_at)}",'
            f'"recorded_at":{quoted(recorded_at)},"seq":{seq},"subject":{quoted(told.subject)},"v":1}}'
        )
    except TypeError:  # something is no text
        return ""


def _require_same(logged: LoggedEntry, told: AuditEntry | None, is_told: bool) -> None:
    """There is an outbox row, it says what the text says, and so do the copied columns."""
    seq = logged.seq
    if told is None:
        raise Damaged(Kind.NO_OUTBOX, seq, f"It names outbox row {logged.outbox_no}.")
    if not is_told:
        raise Damaged(Kind.OUTBOX, seq, f"It was made from outbox row {logged.outbox_no}.")
    copied = logged.kind, logged.account, logged.subject
    if copied != _looked_up(told) and copied != tuple(map(sayable, _looked_up(told))):
        raise Damaged(Kind.COLUMN, seq, "Its kind, account and subject are not those of its text.")
    if logged.occurred_at != told.occurred_at:
        raise Damaged(Kind.COLUMN, seq, f"Its column occurred_at says {logged.occurred_at}.")


def _looked_up(told: AuditEntry) -> tuple[str, str, str]:
    return told.kind, told.account, told.subject
