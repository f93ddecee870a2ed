"""What an acceptance covers: entries, their outbox rows and checkpoints, exactly as they were when it was given.

Whatever of that is changed afterwards is no longer what a person accepted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from trading_pipeline.domain.audit import ACCEPTED, RENEWED, LoggedEntry, read_body
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.chain import logged_after
from trading_pipeline.services.audit.kept import said_by

PAGE = 1000
UNREADABLE = (TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Entries `first` to `last`, checkpoints `after` (excluded) to `highest`, and the hash of all of them."""

    first: int
    last: int
    after: int
    highest: int
    state: str

    @classmethod
    def of(cls, tx: AuditTransaction, *, first: int, last: int, after: int, highest: int) -> Coverage:
        """As the database has them now."""
        digest = hashlib.sha256()
        for text in _texts(tx, first, last, after, highest):
            digest.update(text.encode("utf-8", "backslashreplace") + b"\n")
        return cls(first=first, last=last, after=after, highest=highest, state=digest.hexdigest())

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Coverage | None:
        """Of the data of an entry that accepts; None where it says none."""
        try:
            first, last, after, highest = (int(data[name]) for name in COUNTS)
            return cls(first=first, last=last, after=after, highest=highest, state=data["state"])
        except (KeyError, ValueError):
            return None

    @property
    def data(self) -> dict[str, str]:
        """As an entry says it."""
        return {name: str(getattr(self, name)) for name in COUNTS} | {"state": self.state}

    def holds(self, tx: AuditTransaction) -> bool:
        """True when all of it still is what it was."""
        return self == Coverage.of(tx, first=self.first, last=self.last, after=self.after, highest=self.highest)


COUNTS = ("first", "last", "after", "highest")


def accepted_after(tx: AuditTransaction, seq: int) -> Coverage | None:
    """What the next entry after `seq` that accepts anything covers; it follows on the checkpoint made for it."""
    with suppress(AuditFormatError):
        for entry in logged_after(tx, seq):
            if entry.kind == ACCEPTED:
                return Coverage.read(read_body(entry.body)["data"])
    return None


def keys_named_after(tx: AuditTransaction, number: int, seq: int) -> frozenset[str]:
    """Ids of the keys that people name in the entries between checkpoint `number`, of `seq`, and the next one.

    Who accepts names the key that is there, and who replaces a lost one the new key: what was signed with one that came
    after the backup is tied to the log by their word alone.
    """
    named = set[str]()
    with suppress(AuditFormatError):
        following = next(iter(tx.checkpoints(after=number, limit=1)), None)
        for entry in logged_after(tx, seq):
            if following is not None and entry.seq > said_by(following.text).seq:
                break
            if entry.kind in {ACCEPTED, RENEWED}:
                named.add(str(read_body(entry.body)["data"].get("key_id", "")))
    return frozenset(named)


def _texts(tx: AuditTransaction, first: int, last: int, after: int, highest: int) -> Iterator[str]:
    at = first - 1
    while at < last and (page := _page(tx, at, min(PAGE, last - at))):
        yield from (text for seq, text in page if seq <= last)
        at = page[-1][0]
    for number in range(after + 1, highest + 1):
        for one in tx.checkpoints(after=number - 1, limit=1):
            yield "\n".join((one.text, one.signature, one.public_key, tx.frontier(number) or ""))


def _page(tx: AuditTransaction, after: int, limit: int) -> list[tuple[int, str]]:
    """Entries with their numbers; one that cannot be read is what is said of it."""
    try:
        return [(logged.seq, _text(logged, told)) for logged, told in tx.compared(after=after, limit=limit)]
    except UNREADABLE as error:
        return _page(tx, after, max(1, limit // 10)) if limit > 1 else [(after + 1, f"unreadable: {error}")]


def _text(logged: LoggedEntry, told: AuditEntry | None) -> str:
    row = [str(getattr(logged, name)) for name in LOGGED]
    said = [str(getattr(told, name)) for name in TOLD] if told is not None else None
    return json.dumps([row, said, dict(sorted(told.data.items())) if told is not None else None], default=str)


LOGGED = ("seq", "outbox_no", "body", "leaf", "head", "kind", "account", "subject", "occurred_at")
TOLD = ("occurred_at", "kind", "account", "subject", "actor")
