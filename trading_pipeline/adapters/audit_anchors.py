"""The anchors of the audit log: checkpoints as lines of a file that only ever grows, best on another disk.

A line is there once it ends in a line break. What a crash left of a last line without one is cut off before the next
line is written, and does not count until then: the database has that checkpoint, and it is written again.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from trading_pipeline.adapters.durable import make_durable
from trading_pipeline.domain.audit import SignedCheckpoint
from trading_pipeline.domain.errors import AuditError, AuditFormatError

PRIVATE = 0o600
LONGEST_LINE = 4096


class JsonLinesAnchors:
    """Implements ports.audit.AnchorFile: one JSON object a line, with text, signature and public_key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def lines(self) -> Iterator[SignedCheckpoint]:
        """Every whole line, in order; raises AuditFormatError naming the line that is no checkpoint."""
        for number, line in enumerate(self._whole_lines(), start=1):
            yield self._parsed(number, line)

    def newest(self) -> SignedCheckpoint | None:
        """The last whole line; looks at the end of the file only."""
        *_, last = [None, *self._end(LONGEST_LINE * 2).split(b"\n")[:-1]]
        return self._parsed(None, last) if last is not None else None

    def append(self, signed: SignedCheckpoint) -> None:
        """One more line, on the disk when this returns. The line that is the last one already is not repeated: it was
        written, and then the disk failed to say so."""
        line = json.dumps(asdict(signed), ensure_ascii=False, sort_keys=True).encode() + b"\n"
        try:
            is_new = not self._path.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(line)
            if is_new:
                make_durable(self._path.parent)
        except OSError as error:
            raise AuditError(
                f"the anchor file {self._path} cannot be written: {error.strerror or error}. Entries are numbered all "
                "the same, but no checkpoint is made before it can: see its folder and the disk (audit.anchor_file)"
            ) from error

    def _write(self, line: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        opened = os.open(self._path, flags, PRIVATE)
        try:
            whole = _whole_length(opened)
            if whole != os.fstat(opened).st_size:
                os.ftruncate(opened, whole)
            is_there = os.pread(opened, len(line), max(0, whole - len(line))) == line
            if not is_there and os.write(opened, line) != len(line):
                raise OSError(None, "the disk took only a part of the line")
            os.fsync(opened)
        finally:
            os.close(opened)

    def _whole_lines(self) -> Iterator[bytes]:
        """Read as they are asked for; a file with a line that never ends is not read whole."""
        with self._reading() as file:
            while file is not None and (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                yield line[:-1]
            if file is not None and len(line) == LONGEST_LINE:
                yield line  # too long for a checkpoint: whoever reads it says so

    def _end(self, last: int) -> bytes:
        with self._reading() as file:
            if file is None:
                return b""
            file.seek(max(0, self._path.stat().st_size - last))
            return file.read()

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO | None]:
        """The open file; None when there is none."""
        try:
            self._require_file()
            with self._path.open("rb") as file:
                yield file
        except FileNotFoundError:
            yield None
        except OSError as error:
            raise AuditError(
                f"the anchor file {self._path} cannot be read: {error.strerror or error}. See its permissions, and "
                "audit.anchor_file in the configuration"
            ) from error

    def _require_file(self) -> None:
        """A device or a pipe would be read without end."""
        if not stat.S_ISREG(self._path.stat().st_mode):
            raise OSError(None, "it is no regular file")

    def _parsed(self, number: int | None, line: bytes) -> SignedCheckpoint:
        try:
            signed = SignedCheckpoint(**json.loads(line))
            _ = signed.checkpoint
        except (ValueError, TypeError, AttributeError, RecursionError, AuditFormatError) as error:
            where = f"line {number}" if number else "the last line"
            raise AuditFormatError(
                f"{where} of the anchor file {self._path} is no checkpoint ({error}). Somebody changed the file: "
                "compare it with its copies; trading-pipeline audit verify says from where on it can be trusted"
            ) from error
        return signed


def _whole_length(opened: int) -> int:
    """Up to the end of the last whole line, in bytes."""
    size = os.fstat(opened).st_size
    start = max(0, size - LONGEST_LINE)
    return start + os.pread(opened, size - start, start).rfind(b"\n") + 1
