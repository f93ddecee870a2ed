"""The audit log of a home, for those who only read it: verified, proven, exported, looked at."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.audit import LoggedEntry, SignedCheckpoint, key_id_of
from trading_pipeline.services.audit.differences import Judged
from trading_pipeline.services.audit.export import FORMATS, export_lines, part_of
from trading_pipeline.services.audit.fills import FillWatch
from trading_pipeline.services.audit.kept import read_checkpoints
from trading_pipeline.services.audit.prove import Proof
from trading_pipeline.services.audit.prove import prove as prove_entry
from trading_pipeline.services.audit.record import RecordWatch
from trading_pipeline.services.audit.verify import Means, Progress, Verdict, verify_log
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.workspace import Workspace

PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict, and how the record differs from the log: modes, approvals and operators always, fills where asked.

    has_fills: that it was asked.
    """

    verdict: Verdict
    record: Judged
    has_fills: bool

    @property
    def is_sound(self) -> bool:
        """True when log and record hold, but for what a person accepted."""
        return self.verdict.is_sound and not self.record.new


def verify(
    workspace: Workspace, kept: Sequence[str] = (), *, ledger: bool = False, progress: Progress = lambda _d, _o: None
) -> Verified:
    """Judge the whole log of this home. kept: checkpoints that people kept. ledger: with its fills."""
    desk = audit_desk(workspace)
    means = Means(verify=desk.verify, keys=desk.keys, anchors=desk.anchors, kept=kept)
    watch = RecordWatch(FillWatch() if ledger else None)
    with desk.ledger.read() as tx:
        verdict = verify_log(tx, means, progress=progress, watch=watch, as_it_is=watch)
        return Verified(verdict, watch.judged(tx, desk.account), ledger)


def prove(workspace: Workspace, seq: int, checkpoint: int | None) -> Proof:
    """That the entry is in the log, under this checkpoint or the first that covers it."""
    with audit_desk(workspace).ledger.read() as tx:
        return prove_entry(tx, seq, checkpoint)


def export(workspace: Workspace, form: str, out: Path | None, start: str | None, end: str | None) -> int:
    """Write an export, whole or not at all; without a file to standard output. Returns how many lines."""
    with audit_desk(workspace).ledger.read() as tx:
        lines = export_lines(tx, SystemClock().now(), part_of(tx, start, end))
        with _whole(out) as file:
            return sum(1 for text in FORMATS[form](lines) if file.write(text))


@contextmanager
def _whole(out: Path | None) -> Iterator[TextIO]:
    """A file that is there once it is complete, for its owner alone; what was there before stays until then."""
    if out is None:
        yield sys.stdout
        return
    part = out.with_name(f".{out.name}.{os.getpid()}")
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(opened, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def newest_entries(workspace: Workspace, count: int) -> Sequence[LoggedEntry]:
    """The last entries, ascending."""
    with audit_desk(workspace).ledger.read() as tx:
        newest = tx.newest_logged()
        return tx.logged(after=max(0, newest.seq - count), limit=count) if newest else ()


def following(workspace: Workspace, after: int, wait: Callable[[], None]) -> Iterator[LoggedEntry]:
    """Entries above a number as they come, for ever."""
    desk = audit_desk(workspace)
    while True:
        with desk.ledger.read() as tx:
            page = tx.logged(after=after)
        yield from page
        after = page[-1].seq if page else after
        if not page:
            wait()


def newest_checkpoint(workspace: Workspace) -> SignedCheckpoint | None:
    """The newest checkpoint in the database."""
    with audit_desk(workspace).ledger.read() as tx:
        return tx.newest_checkpoint()


def public_keys(workspace: Workspace) -> Sequence[dict[str, object]]:
    """Every key that signed a checkpoint, in that order, and the number of its first."""
    found = dict[str, int]()
    with audit_desk(workspace).ledger.read() as tx:
        for signed in read_checkpoints(tx):
            if signed.public_key not in found:
                found[signed.public_key] = signed.checkpoint.number
    return [
        {"key_id": key_id_of(bytes.fromhex(key)), "public_key": key, "first_checkpoint": number}
        for key, number in found.items()
    ]
