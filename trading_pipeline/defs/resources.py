"""The home folder and its settings, as one Dagster resource."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import dagster as dg

from trading_pipeline.adapters.clock import FixedClock, SteadyClock
from trading_pipeline.adapters.logs.setup import keep_logs
from trading_pipeline.ports import Clock
from trading_pipeline.settings import load_settings, resolve_home
from trading_pipeline.wiring import Workspace


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """Opens the workspace a run works in. Empty fields: the environment decides, then the shipped defaults."""

    home: str = ""
    config: str = ""
    profile: str = ""
    now: str = ""
    """An ISO instant at which the clock stands still; empty: the machine's clock."""

    def open(self, run_id: str = "") -> Workspace:
        """The workspace, with the run's id on everything it writes."""
        settings, home = load_settings(_path(self.config), profile=_path(self.profile)), resolve_home(_path(self.home))
        keep_logs(home, settings.logs, process="dagster")
        return Workspace(home, settings, run_id, self.clock())

    def clock(self) -> Clock:
        """What the time is, without opening anything."""
        return FixedClock(datetime.fromisoformat(self.now)) if self.now else SteadyClock()

    @contextmanager
    def looked_into(self) -> Iterator[Workspace]:
        """The workspace for a look from a process that lives long: its connections are given back."""
        opened = self.open()
        try:
            yield opened
        finally:
            opened.ledger.close()


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def sessions_of(context: dg.AssetExecutionContext) -> Iterator[date]:
    """The run's partitions as sessions, ascending: one for a single run, many for a backfill."""
    keys: Sequence[str] = sorted(context.partition_keys)
    for number, key in enumerate(keys, start=1):
        context.log.info("session %s (%d of %d)", key, number, len(keys))
        yield date.fromisoformat(key)
