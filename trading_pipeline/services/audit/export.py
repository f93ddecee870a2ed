"""The audit log as others take it away: JSON lines, which tools/verify_audit.py judges, or a table for people.

Every line has a type: header (which log, from which entry on, what the chain was before it), key (public halves, for
people: whoever verifies brings the keys), entry, checkpoint (each after the last entry it covers), end (how many
entries, and the last head). A file without its end was cut.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from trading_pipeline.domain.audit import (
    VERSION,
    LoggedEntry,
    SignedCheckpoint,
    canonical,
    first_head,
    instant_text,
    key_id_of,
)
from trading_pipeline.domain.errors import AuditFormatError, InputError, MissingResultError
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.chain import logged_after
from trading_pipeline.services.audit.kept import read_checkpoints

COLUMNS = (
    "type", "seq", "recorded_at", "occurred_at", "kind", "account", "subject", "actor", "data", "leaf", "head",
    "record",
)  # fmt: skip
NUMBERED = "Entries are numbered by: trading-pipeline relay run --once"
MOST_DIGITS = 19
OF_BODY = ("recorded_at", "occurred_at", "kind", "account", "subject", "actor")
FORMULAS = tuple("=+-@＝＋－＠\t\r\n'")
"""A cell that begins with one of these is written with a ' before it: no spreadsheet then takes it for a formula, and
whoever reads it takes one ' away. So what was written comes back exactly."""
Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which entries: numbers first to last, both included; last None: to the end."""

    first: int = 1
    last: int | None = None

    @property
    def is_whole(self) -> bool:
        """True when nothing is left out."""
        return self.first == 1 and self.last is None


def part_of(tx: AuditTransaction, start: str | None, end: str | None) -> Part:
    """The part from one to another, each a number of an entry or a day (UTC) on which entries were recorded.

    Raises InputError for anything else, MissingResultError when there is no such entry.
    """
    newest = tx.newest_logged()
    if newest is None:
        raise MissingResultError(f"the audit log has no entry yet. {NUMBERED}")
    first = 1 if start is None else _number(tx, start, "--from", is_end=False)
    last = None if end is None else _number(tx, end, "--to", is_end=True)
    if start and end and last is not None and _is_after(start, end, first > last):
        raise InputError(f"--from {start} comes after --to {end}: {_there(tx, newest)}")
    if first > newest.seq or (last is not None and last < first):
        raise MissingResultError(
            f"no entry of the audit log is there from {start or 'the first'} to {end or 'the last'}: "
            f"{_there(tx, newest)}. {NUMBERED}"
        )
    return Part(first=first, last=None if last is None else min(last, newest.seq))


def _is_after(start: str, end: str, by_number: bool) -> bool:
    """Of two numbers, or of two days."""
    if start.isdigit() and end.isdigit():
        return by_number
    return not (start.isdigit() or end.isdigit()) and date.fromisoformat(start) > date.fromisoformat(end)


def _there(tx: AuditTransaction, newest: LoggedEntry) -> str:
    first = next(iter(tx.logged(limit=1)), newest)
    return f"it has entries {first.seq} to {newest.seq}, of {_recorded_on(first)} to {_recorded_on(newest)} (UTC)"


def _number(tx: AuditTransaction, text: str, option: str, *, is_end: bool) -> int:
    if text.isascii() and text.isdigit() and int(text[:MOST_DIGITS]) >= 1:
        return int(text) if len(text) < MOST_DIGITS else 10**MOST_DIGITS
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{option} {text!r}: write the number of one entry, from 1, or a day as 2025-06-10 (UTC); a range is "
            "--from FIRST --to LAST"
        ) from error
    found = 0
    for entry in logged_after(tx, 0):
        if _recorded_on(entry) > day or (not is_end and _recorded_on(entry) == day):
            return entry.seq - 1 if is_end else entry.seq
        found = entry.seq
    return found if is_end else found + 1


def _recorded_on(entry: LoggedEntry) -> date:
    return date.fromisoformat(json.loads(entry.body)["recorded_at"][:10])


def export_lines(tx: AuditTransaction, at: datetime, part: Part) -> Iterator[Line]:
    """The export, line by line, of one state of the database; raises MissingResultError when there is no log yet."""
    log_id = tx.log_id()
    if log_id is None:
        raise MissingResultError("the audit log has no entry yet: trading-pipeline relay run --once")
    before = next(iter(tx.logged(after=part.first - 2, limit=1)), None) if part.first > 1 else None
    head = before.head if before else first_head(log_id).hex()
    yield {"type": "header", "v": VERSION, "log_id": log_id, "first": part.first, "last": part.last, "before": head,
           "made_at": instant_text(at)}  # fmt: skip
    yield from _keys(tx)
    count = 0
    for line in _merged(tx, part):
        if line["type"] == "entry":
            count, head = count + 1, line["head"]
        yield line
    yield {"type": "end", "count": count, "head": head}


def _keys(tx: AuditTransaction) -> Iterator[Line]:
    seen = set[str]()
    for signed in read_checkpoints(tx):
        if signed.public_key not in seen:
            seen.add(signed.public_key)
            yield {
                "type": "key",
                "key_id": key_id_of(bytes.fromhex(signed.public_key)),
                "public_key": signed.public_key,
            }


def _merged(tx: AuditTransaction, part: Part) -> Iterator[Line]:
    waiting = _vouching(tx, part)
    signed = next(waiting, None)
    at = part.first - 1
    for entry in logged_after(tx, at):
        while signed is not None and _covers(signed) < entry.seq:
            yield _checkpoint_line(signed)
            signed = next(waiting, None)
        if part.last is not None and entry.seq > part.last:
            return
        yield {"type": "entry", "seq": entry.seq, "body": entry.body, "leaf": entry.leaf, "head": entry.head}
    while signed is not None:
        yield _checkpoint_line(signed)
        signed = next(waiting, None)


def _vouching(tx: AuditTransaction, part: Part) -> Iterator[SignedCheckpoint]:
    """The checkpoints of a part; of those over what comes before it only the last, which vouches for its begin."""
    before = None
    for signed in read_checkpoints(tx):
        covers = _covers(signed)
        if covers >= part.first or part.first == 1:
            if before is not None:
                yield before
            before = None
            yield signed
        elif covers == part.first - 1:
            before = signed
    if before is not None:
        yield before


def _covers(signed: SignedCheckpoint) -> int:
    """Entries that it covers; one that cannot be read comes at once, as evidence."""
    try:
        return signed.checkpoint.seq
    except AuditFormatError:
        return 0


def _checkpoint_line(signed: SignedCheckpoint) -> Line:
    return {
        "type": "checkpoint", "text": signed.text, "signature": signed.signature, "public_key": signed.public_key,
    }  # fmt: skip


def as_json(lines: Iterable[Line]) -> Iterator[str]:
    """JSON lines, of ASCII alone."""
    for line in lines:
        yield json.dumps(line, separators=(",", ":")) + "\n"


def as_csv(lines: Iterable[Line]) -> Iterator[str]:
    """A table with one row an entry; what is no entry stands as JSON in its last column. Every cell is quoted."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: cell(value) for name, value in _row(line).items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _row(line: Line) -> dict[str, str]:
    if line["type"] != "entry":
        return {"type": line["type"], "record": json.dumps(line)}
    body = json.loads(line["body"])
    own = {"type": "entry", "seq": str(line["seq"]), "leaf": line["leaf"], "head": line["head"]}
    return own | {name: body[name] for name in OF_BODY} | {"data": canonical(body["data"])}


def cell(text: str) -> str:
    """Data, whatever it begins with: see FORMULAS."""
    return f"'{text}" if text.startswith(FORMULAS) else text


def meant(text: str) -> str:
    """What a cell was written from."""
    return text.removeprefix("'")


def formats() -> Sequence[str]:
    """Names of the formats."""
    return tuple(FORMATS)


FORMATS = {"json": as_json, "csv": as_csv}
