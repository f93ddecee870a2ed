"""The sequencer as a process that is killed, before and after everything it leaves behind."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.audit import SignedCheckpoint
from trading_pipeline.ports.audit import AuditLedger, AuditTransaction
from trading_pipeline_tests.audit_worlds import AuditWorld
from trading_pipeline_tests.crash.points import Points, _Pointed


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencerRun:
    """What one process is to do: number and sign all there is, and end. die_at 0: live to the end."""

    ledger_url: str
    folder: Path
    result: Path
    die_at: int = 0


@dataclass(frozen=True, slots=True)
class PointedAuditLedger:
    """Implements AuditLedger, with a point before and after every commit."""

    ledger: AuditLedger
    points: Points

    def transaction(self) -> AbstractContextManager[AuditTransaction]:
        return cast("AbstractContextManager[AuditTransaction]", _Pointed(self.ledger.transaction(), self.points))

    def read(self) -> AbstractContextManager[AuditTransaction]:
        return self.ledger.read()


class PointedAnchors(JsonLinesAnchors):
    """A point before and after every line."""

    def __init__(self, path: Path, points: Points) -> None:
        super().__init__(path)
        self._points = points

    def append(self, signed: SignedCheckpoint) -> None:
        self._points.around("anchor", lambda: super(PointedAnchors, self).append(signed))


class PointedKeys(KeyFolder):
    """A point before and after every change of keys, and every signature."""

    def __init__(self, folder: Path, points: Points) -> None:
        super().__init__(folder)
        self._points = points

    def create(self) -> bytes:
        return self._points.around("create key", super().create)

    def prepare_next(self) -> bytes:
        return self._points.around("prepare key", super().prepare_next)

    def promote_next(self, public_key: bytes) -> None:
        self._points.around("promote key", lambda: super(PointedKeys, self).promote_next(public_key))

    def sign(self, message: bytes) -> bytes:
        return self._points.around("sign", lambda: super(PointedKeys, self).sign(message))


def sequence(run: SequencerRun) -> None:
    """Run it; what it passed by is in the result, if it lived."""
    points, ledger = Points(die_at=run.die_at), SqlLedger(run.ledger_url)
    world = AuditWorld(ledger, run.folder)
    desk = replace(
        world.desk, ledger=PointedAuditLedger(ledger, points), keys=PointedKeys(run.folder / "keys", points),
        anchors=PointedAnchors(Path(world.anchors.place), points),
    )  # fmt: skip
    world.catch_up(world.sequencer(desk)).end()
    ledger.close()
    run.result.write_text(json.dumps(points.seen), encoding="utf-8")
