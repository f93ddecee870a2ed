"""Audit logs made in memory, whole or tampered with, and the stand-alone verifier as a module."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trading_pipeline.domain.audit import (
    Checkpoint,
    LoggedEntry,
    SignedCheckpoint,
    Why,
    first_head,
    key_id_of,
    leaf_of,
    next_head,
    signed_bytes,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.ports.audit import Waiting
from trading_pipeline.services.audit.chain import Chain
from trading_pipeline.services.audit.kept import Kept

TOOL = Path(__file__).resolve().parent.parent / "tools" / "verify_audit.py"
NOW = datetime(2025, 6, 10, 14, 0, tzinfo=UTC)
LOG = "log-of-tests"
Row = tuple[LoggedEntry, AuditEntry | None]


def stand_alone() -> ModuleType:
    """tools/verify_audit.py, imported."""
    spec = importlib.util.spec_from_file_location("verify_audit", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def said(text: str) -> Checkpoint:
    """Read once."""
    return Checkpoint.read(text)


def seq_of(signed: SignedCheckpoint) -> int:
    """Entries that it covers."""
    return said(signed.text).seq


def number_of(signed: SignedCheckpoint) -> int:
    """Its number."""
    return said(signed.text).number


@dataclass(frozen=True)
class Signer:
    """A signing key that is always the same."""

    seed: int = 1

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def signed(self, said: Checkpoint) -> SignedCheckpoint:
        """The checkpoint, signed by this key whatever key it named."""
        text = replace(said, key_id=key_id_of(self.public)).text
        signature = self.private.sign(signed_bytes(text))
        return SignedCheckpoint(text=text, signature=signature.hex(), public_key=self.public.hex())


OURS, FORGED = Signer(1), Signer(66)


@dataclass(frozen=True)
class AuditLog:
    """Rows as the database would give them, checkpoints, and the subtrees beside each."""

    rows: Sequence[Row]
    signed: Sequence[SignedCheckpoint]
    frontiers: Mapping[int, str] = field(default_factory=dict)
    log_id: str = LOG

    def lines(self) -> Iterator[dict[str, Any]]:
        """As an export."""
        yield {"type": "header", "v": 1, "log_id": self.log_id, "first": 1, "last": None,
               "before": first_head(self.log_id).hex(), "made_at": ""}  # fmt: skip
        yield from lines_after(self, 0, 0)

    def before(self, seq: int) -> tuple[Sequence[Row], Sequence[SignedCheckpoint]]:
        """Entries and checkpoints before an entry."""
        return [row for row in self.rows if row[0].seq < seq], [one for one in self.signed if seq_of(one) < seq]


def lines_after(log: AuditLog, seq: int, number: int) -> Iterator[dict[str, Any]]:
    """The lines of an export after so many entries and checkpoints."""
    waiting = [one for one in log.signed if number_of(one) > number]
    head, count = first_head(log.log_id).hex(), seq
    for logged, _ in log.rows[seq:] if len(log.rows) > seq else ():
        while waiting and seq_of(waiting[0]) < logged.seq:
            yield {"type": "checkpoint", **asdict(waiting.pop(0))}
        yield {"type": "entry", "seq": logged.seq, "body": logged.body, "leaf": logged.leaf, "head": logged.head}
        head, count = logged.head, count + 1
    for one in waiting:
        yield {"type": "checkpoint", **asdict(one)}
    yield {"type": "end", "count": count, "head": head if count > seq or not log.rows else log.rows[-1][0].head}


def told(number: int) -> AuditEntry:
    """An outbox row."""
    return AuditEntry(
        occurred_at=NOW + timedelta(seconds=number), kind="order_status", account="SIM",
        subject=f"order-{number}", actor="trading-pipeline",
        data={"symbol": "ACME", "before": "NEW", "after": "FILLED", "price": "12.5", "text": f"né {number}"},
    )  # fmt: skip


def checkpoint(chain: Chain, last: SignedCheckpoint | None, signer: Signer, **further: Any) -> SignedCheckpoint:
    """The next checkpoint over a log."""
    new = Checkpoint(
        log_id=chain.log_id, number=number_of(last) + 1 if last else 1, seq=chain.seq, head=chain.head.hex(),
        root=chain.frontier.root().hex(), previous=last.digest if last else "", at=NOW, key_id="",
        why=further.pop("why", Why.ENTRIES), **further,
    )  # fmt: skip
    return signer.signed(new)


@dataclass(frozen=True)
class Source:
    """What a log is made of, made anew each time it is read: a large log need not be held."""

    size: int
    every: int
    log_id: str = LOG
    salt: str = ""

    def batches(self) -> Iterator[tuple[list[Row], Chain]]:
        """Entries up to the next checkpoint, and the log after them."""
        chain = Chain.empty(self.log_id)
        for start in range(0, self.size, self.every):
            numbers = range(start + 1, min(start + self.every, self.size) + 1)
            entries = [replace(told(number), actor=f"trading-pipeline{self.salt}") for number in numbers]
            logged, chain = chain.extended(list(zip(numbers, entries, strict=True)), NOW)
            yield list(zip(logged, entries, strict=True)), chain

    def rows(self) -> Iterator[Row]:
        """All entries."""
        for rows, _ in self.batches():
            yield from rows


def made_log(
    size: int, every: int = 100, signer: Signer = OURS, log_id: str = LOG, salt: str = "", *, held: bool = True
) -> AuditLog:
    """A log with a checkpoint at its start, each `every` entries, and none over what is left. held: with its rows."""
    source, first = Source(size, every, log_id, salt), Chain.empty(log_id)
    signed, held_rows = [checkpoint(first, None, signer, why=Why.START)], list[Row]()
    frontiers = {1: first.frontier.text()}
    for rows, chain in source.batches():
        held_rows += rows if held else ()
        if chain.seq % every == 0:
            signed.append(checkpoint(chain, signed[-1], signer))
            frontiers[len(signed)] = chain.frontier.text()
    return AuditLog(held_rows, signed, frontiers, log_id)


def kept_of(log: AuditLog, every: int = 1) -> dict[int, Kept]:
    """Each so-manieth checkpoint as kept elsewhere, and the newest."""
    chosen = {number_of(one): one for one in [*log.signed[::every], *log.signed[-1:]]}
    return {number: Kept.of(one) for number, one in chosen.items()}


class Shown:
    """ports.AuditTransaction's reading half over rows in memory."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._numbers = [logged.seq for logged, _ in log.rows]

    def log_id(self) -> str:
        return self._log.log_id

    def newest_logged(self) -> LoggedEntry | None:
        return self._log.rows[-1][0] if self._log.rows else None

    def compared(self, *, after: int = 0, limit: int = 1000) -> Sequence[Row]:
        start = next((at for at, number in enumerate(self._numbers) if number > after), len(self._numbers))
        return self._log.rows[start : start + limit]

    def checkpoints(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedCheckpoint]:
        return [one for one in self._log.signed if number_of(one) > after][:limit]

    def frontier(self, number: int) -> str | None:
        return self._log.frontiers.get(number)

    def waiting(self) -> Waiting:
        return Waiting(entries=0)


# what somebody who can write everywhere may do; each from the entry `at` on


def chained(rows: Sequence[Row], head: bytes) -> list[Row]:
    """The rows with leaves and heads made anew after a head."""
    made = list[Row]()
    for logged, entry in rows:
        leaf = leaf_of(logged.body)
        head = next_head(head, leaf)
        made.append((replace(logged, leaf=leaf.hex(), head=head.hex()), entry))
    return made


@dataclass(frozen=True)
class Tail:
    """What follows on an entry, before or after somebody changed it. head, chain: of the log before it."""

    rows: list[Row]
    signed: list[SignedCheckpoint]
    frontiers: Mapping[int, str]
    chain: Chain
    last: SignedCheckpoint | None

    def begun(self, count: int) -> Tail:
        """Its first entries alone."""
        rows = self.rows[:count]
        return replace(self, rows=rows, signed=[one for one in self.signed if seq_of(one) <= rows[-1][0].seq])


def edited(tail: Tail) -> Tail:
    logged, entry = tail.rows[0]
    return replace(tail, rows=[(replace(logged, body=_other(logged.body)), entry), *tail.rows[1:]])


def edited_with_leaf(tail: Tail) -> Tail:
    logged, entry = tail.rows[0]
    body = _other(logged.body)
    return replace(tail, rows=[(replace(logged, body=body, leaf=leaf_of(body).hex()), entry), *tail.rows[1:]])


def edited_with_hashes(tail: Tail) -> Tail:
    logged, entry = tail.rows[0]
    return replace(tail, rows=[*chained([(replace(logged, body=_other(logged.body)), entry)], tail.chain.head),
                               *tail.rows[1:]])  # fmt: skip


def edited_head(tail: Tail) -> Tail:
    logged, entry = tail.rows[0]
    return replace(tail, rows=[(replace(logged, head="00" * 32), entry), *tail.rows[1:]])


def deleted(tail: Tail) -> Tail:
    return replace(tail, rows=tail.rows[1:])


def inserted(tail: Tail) -> Tail:
    """Beside the entry of that number: a file takes it, a table does not."""
    logged, entry = tail.rows[0]
    forged = chained([(replace(logged, body=_other(logged.body)), entry)], tail.chain.head)
    return replace(tail, rows=[*forged, *tail.rows])


def inserted_and_numbered(tail: Tail) -> Tail:
    logged, entry = tail.rows[0]
    forged = chained([(replace(logged, body=_other(logged.body)), entry)], tail.chain.head)
    later = [(replace(one, seq=one.seq + 1), told_of) for one, told_of in tail.rows]
    return replace(tail, rows=[*forged, *later])


def reordered(tail: Tail) -> Tail:
    """Swapped with the last entry there is."""
    rows = [*tail.rows]
    (first, entry_of_first), (last, entry_of_last) = rows[0], rows[-1]
    rows[0] = (replace(last, seq=first.seq, outbox_no=first.outbox_no), entry_of_first)
    rows[-1] = (replace(first, seq=last.seq, outbox_no=last.outbox_no), entry_of_last)
    return replace(tail, rows=rows)


def cut(tail: Tail) -> Tail:
    return replace(tail, rows=[], signed=[])


def rewritten(tail: Tail, signer: Signer) -> Tail:
    """The entry and its outbox row say something else, and all hashes and signatures after it are made anew."""
    logged, entry = tail.rows[0]
    assert entry is not None
    other = replace(entry, actor=f"{entry.actor}?")
    (first,), chain = tail.chain.extended([(logged.outbox_no, other)], NOW)
    rows: list[Row] = [(first, other)]
    signed, frontiers, last = list[SignedCheckpoint](), dict[int, str](), tail.last
    head, frontier = chain.head, chain.frontier
    due = {seq_of(one) for one in tail.signed}
    for row in [None, *chained(tail.rows[1:], head)]:
        if row is not None:
            rows.append(row)
            head = bytes.fromhex(row[0].head)
            frontier.append(bytes.fromhex(row[0].leaf))
        seq = rows[-1][0].seq
        if seq in due:
            last = checkpoint(Chain(log_id=chain.log_id, seq=seq, head=head, frontier=frontier), last, signer)
            signed.append(last)
            frontiers[number_of(last)] = frontier.text()
    return replace(tail, rows=rows, signed=signed, frontiers=frontiers)


def forged(tail: Tail) -> Tail:
    return rewritten(tail, FORGED)


def stolen(tail: Tail) -> Tail:
    return rewritten(tail, OURS)


def rolled_back(tail: Tail) -> Tail:
    """Set back to before the entry, and gone on with from there by a sequencer that did not look."""
    entries = [replace(told(logged.seq), actor="somebody else") for logged, _ in tail.rows]
    logged, chain = tail.chain.extended([(one.outbox_no, entry) for (one, _), entry in
                                         zip(tail.rows, entries, strict=True)], NOW)  # fmt: skip
    signed = [checkpoint(chain, tail.last, OURS)]
    number = number_of(signed[0])
    return replace(
        tail, rows=list(zip(logged, entries, strict=True)), signed=signed, frontiers={number: chain.frontier.text()}
    )


def _other(body: str) -> str:
    assert "ACME" in body
    return body.replace("ACME", "EVIL", 1)
