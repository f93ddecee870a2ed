"""The audit log, format v1: what an entry's text is, how entries are chained, what a checkpoint says.

body        canonical JSON (RFC 8785) of v, seq, recorded_at, occurred_at, kind, account, subject, actor, data
leaf        SHA-256(0x00 || body)
head 0      SHA-256("trading-pipeline audit log v1\\n" || log_id)
head n      SHA-256("trading-pipeline audit chain v1\\n" || head n-1 || leaf n)
root        Merkle tree hash of all leaves (RFC 9162, 2.1.1): node = SHA-256(0x01 || left || right)
checkpoint  canonical JSON, signed with Ed25519 over "trading-pipeline audit checkpoint v1\\n" || its text
key_id      the first 16 hexadecimal digits of SHA-256(raw public key)

Hashes, keys and signatures are lower-case hexadecimal in every text, raw bytes inside a hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

import rfc8785

from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError, NaiveDatetimeError

VERSION = 1
OF_LOG, OF_CHAIN = b"trading-pipeline audit log v1\n", b"trading-pipeline audit chain v1\n"
OF_CHECKPOINT = b"trading-pipeline audit checkpoint v1\n"
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
MODE_CHANGED, ROTATION_ASKED = "mode_changed", "audit_key_rotation"
ACCEPTED, RENEWED = "audit_accepted", "audit_key_renewed"
RECORD_ACCEPTED = "audit_record_accepted"
"""Kinds of entries that the log itself acts on: a checkpoint follows; one that names the next key follows; a mismatch
was accepted (data: mismatch); a lost key was replaced (data: key_id); differences of the record were accepted."""
BY_NAME = "--reason TEXT --operator NAME"
ACCEPT, RENEW, ROTATE = (f"trading-pipeline audit {act} {BY_NAME}" for act in ("accept", "keys renew", "keys rotate"))
"""Commands as people type them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEntry:
    """One entry of the log as it is stored. `body` is the truth: the last four fields are copied out of it.

    seq: from 1, without a gap. outbox_no: the outbox row it tells of. leaf, head: hexadecimal.
    """

    seq: int
    outbox_no: int
    body: str
    leaf: str
    head: str
    kind: str
    account: str
    subject: str
    occurred_at: datetime


class Why(StrEnum):
    """What a checkpoint was made for."""

    START = "start"
    STOP = "stop"
    ENTRIES = "entries"
    TIME = "time"
    MODE = "mode"
    ROTATION = "rotation"
    RENEWAL = "renewal"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the log was when it had `seq` entries (0: none yet). Its text is what is signed.

    number: from 1, without a gap. head, root: of the first `seq` entries. previous: SHA-256 of the text of the
    checkpoint before, "" for the first. next_key: the raw public key of whoever signs from now on (why rotation).
    """

    log_id: str
    number: int
    seq: int
    head: str
    root: str
    previous: str
    at: datetime
    key_id: str
    why: Why
    next_key: str = ""

    @property
    def text(self) -> str:
        """Canonical JSON; next_key only where there is one."""
        fields = {
            "v": VERSION, "log_id": self.log_id, "number": self.number, "seq": self.seq, "head": self.head,
            "root": self.root, "previous": self.previous, "at": instant_text(self.at), "key_id": self.key_id,
            "why": self.why.value,
        }  # fmt: skip
        return canonical(fields | ({"next_key": self.next_key} if self.next_key else {}))

    @classmethod
    def read(cls, text: str) -> Self:
        """The checkpoint of a text; raises AuditFormatError for anything `text` would not write."""
        return cls._plainly(text) or cls._any(text)

    @classmethod
    def _plainly(cls, text: str) -> Self | None:
        """The same of a text as nearly all are, in a tenth of the time; None where that is not simple to see."""
        found = PLAIN_CHECKPOINT.fullmatch(text)
        if found is None:
            return None
        said = found.groupdict("")
        try:
            at, why = datetime.fromisoformat(said.pop("at")), Why(said.pop("why"))
        except ValueError:
            return None
        return cls(number=int(said.pop("number")), seq=int(said.pop("seq")), at=at, why=why, **said)

    @classmethod
    def _any(cls, text: str) -> Self:
        try:
            fields = json.loads(text)
            version = fields.pop("v")
            read = cls(**{**fields, "at": instant_of(fields["at"]), "why": Why(fields["why"])})
            counts = {read.number, read.seq} if {type(read.number), type(read.seq)} == {int} else {-1}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise AuditFormatError(f"this is no audit checkpoint: {text[:80]!r} ({error}).") from error
        if version != VERSION or min(counts) < 0 or read.text != text:
            raise AuditFormatError(f"this is no audit checkpoint of version {VERSION}: {text[:80]!r}.")
        return read


_TEXT, _COUNT = r"[ !#-\[\]-~]*", r"(?:0|[1-9][0-9]{0,14})"
PLAIN_CHECKPOINT = re.compile(
    r'\{"at":"(?P<at>[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",'
    rf'"head":"(?P<head>{_TEXT})","key_id":"(?P<key_id>{_TEXT})","log_id":"(?P<log_id>{_TEXT})",'
    rf'(?:"next_key":"(?P<next_key>{_TEXT[:-1]}+)",)?"number":(?P<number>{_COUNT}),"previous":"(?P<previous>{_TEXT})",'
    rf'"root":"(?P<root>{_TEXT})","seq":(?P<seq>{_COUNT}),"v":{VERSION},"why":"(?P<why>[a-z]+)"\}}'
)
"""Canonical JSON of a checkpoint whose texts need no escape: nothing else matches, so that nothing is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint's text and its signature, with the raw public key that made it (hexadecimal both)."""

    text: str
    signature: str
    public_key: str

    @property
    def checkpoint(self) -> Checkpoint:
        """What it says."""
        return Checkpoint.read(self.text)

    @property
    def digest(self) -> str:
        """What the next checkpoint names as `previous`."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def canonical(fields: Mapping[str, Any]) -> str:
    """JSON as RFC 8785 has it; raises AuditFormatError for what it has no text for (a lone surrogate)."""
    try:
        return rfc8785.dumps(dict(fields)).decode()
    except rfc8785.CanonicalizationError as error:
        raise AuditFormatError(f"an entry cannot be written as canonical JSON ({error}).") from error


def instant_text(instant: datetime) -> str:
    """UTC to the microsecond: 2025-03-10T14:15:00.000000Z."""
    if instant.tzinfo is None:
        raise NaiveDatetimeError
    return instant.astimezone(UTC).strftime(INSTANT)


def instant_of(text: str) -> datetime:
    """The instant of such a text; raises ValueError for any other."""
    return datetime.strptime(text, INSTANT).replace(tzinfo=UTC)


def body_of(seq: int, recorded_at: datetime, entry: AuditEntry) -> str:
    """The text of an entry, once it has its number. What UTF-8 cannot say (a lone surrogate) is written as its escape:
    one bad name must not keep all that comes after it out of the log."""
    return canonical({
        "v": VERSION, "seq": seq, "recorded_at": instant_text(recorded_at),
        "occurred_at": instant_text(entry.occurred_at), "kind": sayable(entry.kind),
        "account": sayable(entry.account), "subject": sayable(entry.subject), "actor": sayable(entry.actor),
        "data": {sayable(name): sayable(value) for name, value in entry.data.items()},
    })  # fmt: skip


def sayable(text: object) -> str:
    """A text that every encoding has."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def read_body(body: str) -> dict[str, Any]:
    """What a body says; raises AuditFormatError when it is not what `body_of` writes."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AuditFormatError(f"the body {body[:80]!r} is no JSON ({error}).") from error
    if not isinstance(fields, dict) or set(fields) != BODY_FIELDS or canonical(fields) != body:
        raise AuditFormatError(f"the body {body[:80]!r} is no canonical entry of version {VERSION}.")
    return fields


BODY_FIELDS = frozenset({"v", "seq", "recorded_at", "occurred_at", "kind", "account", "subject", "actor", "data"})


def leaf_of(body: str) -> bytes:
    """The hash of an entry's text."""
    return hashlib.sha256(b"\x00" + body.encode()).digest()


def first_head(log_id: str) -> bytes:
    """The head of the empty log."""
    return hashlib.sha256(OF_LOG + log_id.encode()).digest()


def next_head(head: bytes, leaf: bytes) -> bytes:
    """The head after one more entry."""
    return hashlib.sha256(OF_CHAIN + head + leaf).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def key_id_of(public_key: bytes) -> str:
    """The short name of a raw public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def signed_bytes(text: str) -> bytes:
    """What the signature of a checkpoint is over."""
    return OF_CHECKPOINT + text.encode()


class Frontier:
    """The Merkle tree of a growing log, kept as the roots of its full subtrees, the largest first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count():
            raise AuditFormatError(f"{len(peaks)} subtrees are not those of {size} entries.")
        self.size, self._peaks = size, list(peaks)

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> Self:
        """The tree of these leaves."""
        frontier = cls()
        for leaf in leaves:
            frontier.append(leaf)
        return frontier

    def copy(self) -> Self:
        """The same tree, to grow on its own."""
        return type(self)(self.size, self._peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """All that must be kept of it."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """One more entry: as many subtrees are joined as its number of full ones ends in."""
        node, size = leaf, self.size
        while size & 1:
            node = node_of(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree's hash; of no entry the hash of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_of(peak, node)
        return node

    def text(self) -> str:
        """As it is stored beside a checkpoint."""
        return ",".join(peak.hex() for peak in self._peaks)

    @classmethod
    def read(cls, size: int, text: str) -> Self:
        """Of its text; raises AuditFormatError when it cannot be that of so many entries."""
        try:
            return cls(size, [bytes.fromhex(peak) for peak in text.split(",") if peak])
        except ValueError as error:
            raise AuditFormatError(f"the subtrees of {size} entries cannot be read ({error}).") from error


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Hashes that prove leaf `index` (from 0) under the root of all `leaves`, the nearest first (RFC 9162, 2.1.3)."""
    if not 0 <= index < len(leaves):
        raise AuditFormatError(f"entry {index + 1} is not among the {len(leaves)} entries.")
    path, level, at = list[bytes](), list(leaves), index
    while len(level) > 1:
        if at ^ 1 < len(level):
            path.append(level[at ^ 1])
        joined = [node_of(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level, at = joined + level[len(joined) * 2 :], at // 2
    return path


def root_of_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to (RFC 9162, 2.1.3.2); raises AuditFormatError for a path of another length."""
    node, at, last, rest = leaf, index, size - 1, list(path)
    while last > 0:
        if at & 1 or at < last:
            if not rest:
                break
            other = rest.pop(0)
            node = node_of(other, node) if at & 1 else node_of(node, other)
        at, last = at >> 1, last >> 1
    if rest or last > 0 or not 0 <= index < size:
        raise AuditFormatError(f"{len(path)} hashes do not lead from entry {index + 1} to the root of {size}.")
    return node
