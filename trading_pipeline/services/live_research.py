"""Research of the running session: a watchlist snapshot on record within seconds of each 15-minute close.

The same steps as a backfill's. What was recorded stays: a bar that is corrected afterwards changes the snapshots to
come, never one that may have been decided on. So only instants without a snapshot are recorded, and when research
begins late only the newest: an old one was never known in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.services import research, snapshots
from trading_pipeline.services.desk import regimes_of, snapshots_of
from trading_pipeline.services.research_desk import CONFIRMATION, DAILY, REGIME, TRIGGER, ResearchDesk


@dataclass(slots=True)
class LiveResearch:
    """Looks, whenever bars were stored, whether a watchlist is due, and makes it."""

    desk: ResearchDesk
    session: date

    def prepare(self) -> int:
        """The session's universe, and the history read once so that it is at hand; returns how many are members.

        Raises MissingBarsError when no session before this one is stored.
        """
        research.make_universe(self.desk, self.session)
        members = research.members(self.desk, self.session)
        for timeframe in (TRIGGER, CONFIRMATION, REGIME, DAILY):
            self.desk.view(self.session, timeframe, members)
        return len(members)

    def step(self, closed_until: datetime) -> Sequence[pd.Timestamp]:
        """Research what is due by the bars stored, which are closed until then; returns instants new on record."""
        watchlists, regimes = self._due(pd.Timestamp(closed_until))
        if not watchlists and not regimes:
            return []
        desk, session = self.desk, self.session
        research.make_indicators(desk, session)
        if regimes:
            research.make_coarse_screen(desk, session)
            scored = research.score_regime(desk, session)
            self._write("regime_score", snapshots.flat_details(scored), regimes)
            snapshots.record_regimes(desk, session, scored[scored["as_of"].isin(regimes)])
        if watchlists:
            found = self._write("sabr20_watchlist", research.score_session(desk, session), watchlists)
            snapshots.record_watchlists(desk, session, found, only=watchlists)
        return watchlists

    def _due(self, closed_until: pd.Timestamp) -> tuple[list[pd.Timestamp], list[pd.Timestamp]]:
        """Of the watchlists and of the regimes the newest instant that is due, when it is not on record."""
        desk, session = self.desk, self.session
        with desk.ledger.read() as tx:
            watchlists = [one.as_of for one in snapshots_of(desk.provenance, tx, session)]
            regimes = [one.as_of for one in regimes_of(desk.provenance, tx, session)]
        return (
            _newest(desk.trigger_instants(session), watchlists, closed_until),
            _newest(desk.screen_instants(session), regimes, closed_until),
        )

    def _write(self, name: str, made: pd.DataFrame, new: Sequence[pd.Timestamp]) -> pd.DataFrame:
        """Rows of the new instants beside those that are kept from before; returns them as written."""
        try:
            kept = self.desk.frames.read(name, self.session)
        except MissingResultError:
            kept = made.iloc[:0]
        is_new = made["as_of"].isin(new)
        kept = kept[~kept["as_of"].isin(new)].astype(made.dtypes.to_dict())
        together = pd.concat([kept, made[is_new]], ignore_index=True) if len(kept) else made[is_new]
        self.desk.frames.write(name, self.session, together)
        return together


def _newest(instants: Sequence[pd.Timestamp], recorded: Sequence[datetime], until: pd.Timestamp) -> list[pd.Timestamp]:
    """The last instant up to `until`, unless it or a later one is recorded."""
    due = [instant for instant in instants if instant <= until][-1:]
    return [instant for instant in due if all(pd.Timestamp(one) < instant for one in recorded)]
