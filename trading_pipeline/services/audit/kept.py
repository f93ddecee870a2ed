"""Checkpoints that were kept elsewhere: lines of the anchor file, and those that an alert told to people."""

from __future__ import annotations

import hashlib
import json
from array import array
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from trading_pipeline.domain.audit import Checkpoint, SignedCheckpoint
from trading_pipeline.domain.errors import AuditFormatError, InputError
from trading_pipeline.ports.audit import AuditTransaction

PAGE = 1000
NAME_BYTES = hashlib.sha256().digest_size


@lru_cache(8)
def said_by(text: str) -> Checkpoint:
    """What a checkpoint's text says, read once where it is asked several times; raises AuditFormatError."""
    return Checkpoint.read(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What tells a checkpoint from any other of its number. signature: hexadecimal, as in the table."""

    log_id: str
    number: int
    seq: int
    signature: str

    @classmethod
    def of(cls, signed: SignedCheckpoint) -> Kept:
        """Of a whole checkpoint."""
        said = said_by(signed.text)
        return cls(log_id=said.log_id, number=said.number, seq=said.seq, signature=signed.signature)

    @classmethod
    def read(cls, line: str) -> Kept:
        """Of a line of an anchor file, or of the message of an audit_checkpoint alert; raises InputError."""
        try:
            if line.lstrip().startswith("{"):
                fields = json.loads(line)
                return cls._of_text(fields["text"], fields["signature"])
            words = line[line.index("audit ") :].split()
            told = dict(zip(words[::2], words[1::2], strict=False))
            return cls(
                log_id=told["audit"], number=int(told["checkpoint"]), seq=int(told["entry"]),
                signature=b64decode(told["signature"], validate=True).hex(),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AuditFormatError) as error:
            raise InputError(
                f"{line[:80]!r} is no checkpoint. Pass the message of an audit_checkpoint alert, whole (it begins with "
                "audit and ends with the signature), or a line of an anchor file"
            ) from error

    @classmethod
    def _of_text(cls, text: str, signature: str) -> Kept:
        said = said_by(text)
        return cls(log_id=said.log_id, number=said.number, seq=said.seq, signature=bytes.fromhex(signature).hex())

    @property
    def name(self) -> bytes:
        """Of this one and no other."""
        return hashlib.sha256(repr((self.log_id, self.number, self.seq, self.signature)).encode()).digest()


class KeptElsewhere:
    """Checkpoints kept elsewhere, by number, in 40 bytes each: a year of them fits into the memory of a small machine.

    newest: the one with the highest number. log_ids: of all.
    """

    def __init__(self, found: Iterable[Kept] = ()) -> None:
        """found: the later one counts where two have the same number."""
        self.newest: Kept | None = None
        self.log_ids = set[str]()
        self._numbers, self._names = array("Q"), bytearray()
        self._others = dict[int, bytes]()
        for one in found:
            self.add(one)

    def add(self, one: Kept) -> None:
        """One more."""
        self.log_ids.add(one.log_id)
        if self.newest is None or one.number > self.newest.number:
            self._numbers.append(one.number)
            self._names += one.name
        else:
            self._others[one.number] = one.name
        if self.newest is None or one.number >= self.newest.number:
            self.newest = one

    def name(self, number: int) -> bytes | None:
        """Of the one with that number; None where none was kept."""
        if number in self._others:
            return self._others[number]
        at = bisect_left(self._numbers, number)
        is_there = at < len(self._numbers) and self._numbers[at] == number
        return bytes(self._names[at * NAME_BYTES : (at + 1) * NAME_BYTES]) if is_there else None


def require_agreeing(found: Iterable[Kept]) -> Sequence[Kept]:
    """Those that people kept; raises InputError where two of one number differ."""
    kept = dict[int, Kept]()
    for one in found:
        if kept.setdefault(one.number, one) != one:
            raise InputError(
                f"two checkpoints {one.number} were kept, and they differ: the log was forked or rewritten, or one of "
                "the copies was changed. Find out which of them left this machine first"
            )
    return list(kept.values())


def read_checkpoints(tx: AuditTransaction, at: int = 0) -> Iterator[SignedCheckpoint]:
    """Those of the table with numbers above `at`, ascending, a page at a time; numbers may leave a gap."""
    while page := tx.checkpoints(after=at, limit=PAGE):
        yield from page
        try:
            number = said_by(page[-1].text).number
        except AuditFormatError:
            return
        if number <= at:
            return  # its row is numbered otherwise than its text: the judge has said so
        at = number
