"""What Dagster is told of a session that is being recorded, whoever records it: a run, a service, or a person."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg
import pandas as pd

from trading_pipeline.defs.metadata import table
from trading_pipeline.defs.signals import SHOWN
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.services.fetch import FetchReport
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.market_data import StreamStatus

Materialization = dg.AssetMaterialization


@dataclass(slots=True)
class StreamReports:
    """Tells Dagster of what the stream has made of the session, when it is new and once for each minute stored."""

    log_event: Callable[[Materialization], None]
    workspace: Workspace
    _told: dict[str, object] = field(default_factory=dict)
    _told_until: datetime | None = None

    def tell(self, status: StreamStatus) -> None:
        """Log a materialisation of each asset that has changed since it was last told of."""
        if status.closed_until is None or status.closed_until == self._told_until:
            return
        self._told_until = status.closed_until
        for name, metadata in self._made(status):
            if self._told.get(name) != metadata:
                self._told[name] = metadata
                self._log(name, status.session.isoformat(), metadata)

    def fetched(self, report: FetchReport) -> None:
        """Log the sessions whose bars were fetched before the stream began."""
        told: dict[str, object] = {"source": report.provider, "feed": report.feed, "timeframe": report.timeframe.value}
        for session in sorted(report.sessions) if report.new + report.corrected else ():
            self._log("raw_bars", session.isoformat(), told)

    def _log(self, name: str, session: str, metadata: dict[str, object]) -> None:
        origin = {"session": session, "config_hash": self.workspace.provenance.config_hash[:12]}
        self.log_event(Materialization(name, partition=session, metadata=metadata, tags=origin))  # type: ignore[arg-type]

    def _made(self, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        counts, until = status.counts, f"{status.closed_until:%Y-%m-%d %H:%M} UTC"
        if counts.new:
            yield "raw_bars", {
                "dagster/row_count": counts.new, "closed_until": until, "corrected": counts.corrected,
                "repaired": counts.repaired, "late": counts.late, "source": status.provider, "feed": status.feed,
            }  # fmt: skip
            yield "bars", {"closed_until": until, "symbols": status.symbols}
        for name in ("universe", f"indicators_{self.workspace.research.trigger.value}"):
            yield from self._rows(name, status)
        for name in ("coarse_screen", "regime_score", "sabr20_watchlist"):
            yield from self._newest(name, status)

    def _rows(self, name: str, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        rows = self.workspace.frames.row_count(name, status.session)
        if rows is not None:
            yield name.partition("_")[0], {"dagster/row_count": rows}

    def _newest(self, name: str, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        """How many rows the frame holds, and its newest snapshot."""
        try:
            frame = self.workspace.frames.read(name, status.session)
        except MissingResultError:
            return
        at = frame["as_of"].max()
        newest = frame[frame["as_of"] == at]
        shown = {"picks": table(_picks(newest))} if name == "sabr20_watchlist" else {}
        yield name, {
            "dagster/row_count": len(frame), "as_of": f"{at:%Y-%m-%d %H:%M} UTC", "newest_rows": len(newest), **shown
        }  # fmt: skip


def _picks(newest: pd.DataFrame) -> pd.DataFrame:
    picks = newest[newest["scored"].astype(bool) & newest["selected"].astype(bool)]
    return picks[SHOWN].astype({"as_of": "str"}).round(2)
