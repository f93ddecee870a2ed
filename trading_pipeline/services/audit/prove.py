"""Proof that one entry is in the log that a checkpoint signed, for whoever has only the entry and the public key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trading_pipeline.domain.audit import (
    VERSION,
    LoggedEntry,
    SignedCheckpoint,
    leaf_of,
    node_of,
    root_of_path,
)
from trading_pipeline.domain.errors import AuditError, MissingResultError
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.chain import logged_after
from trading_pipeline.services.audit.kept import read_checkpoints

MORE = "More is numbered and signed by: trading-pipeline relay run --once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An entry, the checkpoint, and the hashes that lead from the one to the other, the nearest first (RFC 9162)."""

    entry: LoggedEntry
    signed: SignedCheckpoint
    path: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON; tools/verify_audit.py --proof judges it."""
        checkpoint = {
            "text": self.signed.text,
            "signature": self.signed.signature,
            "public_key": self.signed.public_key,
        }
        return {"type": "proof", "v": VERSION, "body": self.entry.body, "path": [*self.path], "checkpoint": checkpoint}


def prove(tx: AuditTransaction, seq: int, number: int | None = None) -> Proof:
    """Prove an entry under a checkpoint, without a number under the first that covers it.

    Raises MissingResultError when there is no such entry or checkpoint, AuditError when the log does not give the root
    that was signed: then it is damaged.
    """
    signed = _covering(tx, seq, number)
    said = signed.checkpoint
    path, entry = Path(seq - 1), None
    for one in logged_after(tx, 0):
        if one.seq > said.seq:
            break
        path.append(leaf_of(one.body))
        entry = one if one.seq == seq else entry
    if entry is None:
        raise MissingResultError(f"the audit log has no entry {seq}: trading-pipeline audit verify says what is there")
    hashes = path.hashes()
    if root_of_path(leaf_of(entry.body), seq - 1, said.seq, hashes).hex() != said.root:
        raise AuditError(
            f"entry {seq} does not lead to the root of checkpoint {said.number}: the log is damaged. Find out where: "
            "trading-pipeline audit verify"
        )
    return Proof(entry=entry, signed=signed, path=tuple(one.hex() for one in hashes))


def _covering(tx: AuditTransaction, seq: int, number: int | None) -> SignedCheckpoint:
    newest, last = tx.newest_logged(), tx.newest_checkpoint()
    if newest is None or last is None or not 1 <= seq <= newest.seq:
        raise MissingResultError(f"there is no entry {seq}: {_there(newest, last)}")
    if number is not None:
        return _named(tx, seq, number, last)
    for signed in read_checkpoints(tx):
        if signed.checkpoint.seq >= seq:
            return signed
    raise MissingResultError(f"no checkpoint covers entry {seq} yet: {_there(newest, last)}")


def _named(tx: AuditTransaction, seq: int, number: int, last: SignedCheckpoint) -> SignedCheckpoint:
    signed = next(iter(tx.checkpoints(after=number - 1, limit=1)), None)
    if signed is None or signed.checkpoint.number != number:
        raise MissingResultError(f"there is no checkpoint {number}: there are 1 to {last.checkpoint.number}")
    if signed.checkpoint.seq < seq:
        raise MissingResultError(
            f"checkpoint {number} does not cover entry {seq}: it covers entries 1 to {signed.checkpoint.seq}, and "
            f"checkpoint {last.checkpoint.number}, the newest, 1 to {last.checkpoint.seq}"
        )
    return signed


def _there(newest: LoggedEntry | None, last: SignedCheckpoint | None) -> str:
    """What can be proven, and how more of it comes."""
    if newest is None or last is None:
        return f"the audit log has no entry yet, or no checkpoint of one. {MORE}"
    return (
        f"the audit log has entries 1 to {newest.seq}, and checkpoint {last.checkpoint.number}, the newest, covers 1 "
        f"to {last.checkpoint.seq}. {MORE}"
    )


class Path:
    """The way from one leaf to the root of a tree that is read leaf by leaf; keeps a few hashes of it."""

    def __init__(self, index: int) -> None:
        """index: of the leaf, from 0."""
        self._index, self._size = index, 0
        self._peaks = list[tuple[bytes, bool]]()  # the hash of each full subtree, and whether the leaf is below it
        self._hashes = list[bytes]()

    def append(self, leaf: bytes) -> None:
        """The next leaf."""
        node, size = (leaf, self._size == self._index), self._size
        while size & 1:
            node = self._joined(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self._size += 1

    def hashes(self) -> list[bytes]:
        """What proves the leaf, the nearest first; nothing more can be appended."""
        peaks: Iterable[tuple[bytes, bool]] = reversed(self._peaks[:-1])
        node = self._peaks[-1]
        for peak in peaks:
            node = self._joined(peak, node)
        return self._hashes

    def _joined(self, left: tuple[bytes, bool], right: tuple[bytes, bool]) -> tuple[bytes, bool]:
        if left[1] or right[1]:
            self._hashes.append(right[0] if left[1] else left[0])
        return node_of(left[0], right[0]), left[1] or right[1]
