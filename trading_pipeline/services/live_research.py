"""Research of the running session: a watchlist snapshot on record within seconds of each close of a trigger bar.

The same steps as a backfill's. What was recorded stays: a bar that is corrected afterwards changes the snapshots to
come, never one that may have been decided on. So only instants without a snapshot are recorded, and when research
begins late only the newest: an old one was never known in time.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services import research, snapshots
from trading_pipeline.services.desk import regimes_of, snapshots_of
from trading_pipeline.services.research_desk import DAILY, ResearchDesk


@dataclass(slots=True)
class LiveResearch:
    """Looks, whenever bars were stored, whether a watchlist is due, and makes it."""

    desk: ResearchDesk
    session: date
    _made_until: datetime | None = None
    """Up to when the indicators on file have been made; None: not by this process."""
    _history: tuple[Hashable, snapshots.History] | None = None

    def prepare(self) -> int:
        """The session's universe, and the history read once so that it is at hand; returns how many are members.

        Raises MissingBarsError when no session before this one is stored.
        """
        research.make_universe(self.desk, self.session)
        members = research.members(self.desk, self.session)
        for timeframe in self.desk.timeframes:
            self.desk.view(self.session, timeframe, members)
        self._history_hash()
        return len(members)

    def step(self, closed_until: datetime, *, corrected: bool = False) -> Sequence[pd.Timestamp]:
        """Research what is due by the bars stored, which are closed until then; returns instants new on record.

        corrected: bars that were there before have changed.
        """
        self._made_until = None if corrected else self._made_until
        watchlists, regimes = self._due(pd.Timestamp(closed_until))
        if not watchlists and not regimes:
            return []
        desk, session = self.desk, self.session
        self._make_indicators(closed_until)
        if regimes:
            self._write("coarse_screen", research.screen(desk, session, regimes), regimes)
            scored = research.score_regime(desk, session, regimes)
            self._write("regime_score", snapshots.flat_details(scored), regimes)
            snapshots.record_regimes(desk, session, scored)
        if watchlists:
            made = research.score_session(desk, session, instants=watchlists)
            found = self._write("sabr20_watchlist", made, watchlists)
            snapshots.record_watchlists(desk, session, found, only=watchlists)
        return watchlists

    def _make_indicators(self, closed_until: datetime) -> None:
        """Of the timeframes in which a bar has closed since; what a bar still open would show is asked by nobody."""
        desk, session = self.desk, self.session
        for timeframe in desk.timeframes:
            if self._made_until is None or self._closes_between(timeframe, self._made_until, closed_until):
                research.make_indicator_frame(desk, session, timeframe)
        snapshots.store_inputs(desk, session, self._history_hash())
        self._made_until = closed_until

    def _closes_between(self, timeframe: Timeframe, after: datetime, until: datetime) -> bool:
        times = self.desk.calendar.times(self.session)
        if timeframe is self.desk.trigger or until >= times.closes_at:
            return True
        if timeframe is DAILY:
            return False
        return (until - times.opens_at) // timeframe.length > (after - times.opens_at) // timeframe.length

    def _history_hash(self) -> snapshots.History:
        """The hash of the bars before the session, made again when any of their files was written."""
        days = [day for timeframe in self.desk.timeframes for day in self.desk.history(self.session, timeframe)]
        state = self.desk.bars.state(sorted({*days} - {self.session}))
        if self._history is None or self._history[0] != state:
            self._history = state, snapshots.history_hash(self.desk, self.session)
        return self._history[1]

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
        """Put what was made at the new instants beside what is there of others; returns all of it."""
        try:
            kept = self.desk.frames.read(name, self.session)
            kept = kept[~kept["as_of"].isin(new)].astype(made.dtypes.to_dict())
        except MissingResultError:
            kept = made.iloc[:0]
        together = pd.concat([kept, made], ignore_index=True) if len(kept) else made
        self.desk.frames.write(name, self.session, together)
        return together


def _newest(instants: Sequence[pd.Timestamp], recorded: Sequence[datetime], until: pd.Timestamp) -> list[pd.Timestamp]:
    """The last instant up to `until`, unless it or a later one is recorded."""
    due = [instant for instant in instants if instant <= until][-1:]
    return [instant for instant in due if all(pd.Timestamp(one) < instant for one in recorded)]
