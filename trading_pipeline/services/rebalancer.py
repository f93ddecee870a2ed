"""The session loop's part in rebalancing: which signals are due, and carrying their execution on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.ports import BarFeed
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.rebalance import advance, desk_of, is_over, supersede
from trading_pipeline.services.signals import signal_snapshots


@dataclass(slots=True)
class Rebalancer:
    """Executes the newest signals on record, whoever recorded them; older ones that are not done are overtaken."""

    feed: BarFeed
    times: SessionTimes
    live: bool = False
    """True when signals are recorded while the session runs; else all of the session's are there from the start."""
    refresh: Callable[[datetime], None] | None = None
    """Looks for new signals and records them; None when somebody else does."""
    _snapshots: tuple[ScanSnapshot, ...] | None = None
    _over: str = ""

    def due(self, desk: Desk, instant: datetime) -> ScanSnapshot | None:
        """The newest signals known at the instant, unless their execution is over."""
        if self.refresh is not None:
            self.refresh(instant)
        known = [snapshot for snapshot in self._read(desk) if snapshot.as_of <= instant]
        if not known or known[-1].snapshot_id == self._over:
            return None
        with desk.ledger.read() as tx:
            if is_over(desk_of(desk, known[-1]), tx, known[-1]):
                self._over = known[-1].snapshot_id
                return None
        return known[-1]

    def step(self, desk: Desk, snapshot: ScanSnapshot, instant: datetime) -> int:
        """Carry the execution on; returns how many orders were asked to make room (see rebalance.advance)."""
        for old in self._read(desk):
            if old.as_of < snapshot.as_of:
                supersede(desk, old, snapshot)
        return advance(desk, snapshot, self.times, partial(self.feed.quotes, self.times, instant))

    def _read(self, desk: Desk) -> tuple[ScanSnapshot, ...]:
        if self._snapshots is None or self.live:
            with desk.ledger.read() as tx:
                origin = None if desk.any_research else desk.provenance
                self._snapshots = tuple(signal_snapshots(origin, tx, self.times.session))
        return self._snapshots
