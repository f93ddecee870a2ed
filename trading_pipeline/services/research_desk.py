"""Where research reads and writes, which sessions it looks back on, and at which instants it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.ports import BarStore, Clock, Ledger, ResearchStore, TradingCalendar
from trading_pipeline.services.desk import Provenance
from trading_pipeline.settings import Settings

DAILY = Timeframe.DAY1
TRIGGERS_PER_SCREEN = 2
"""The market is screened every second close of a trigger bar."""
PREMARKET_LEAD = timedelta(minutes=150)
"""From the pre-market scan (07:00 New York) to the open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchDesk:
    """Where research reads and writes, under which rules."""

    bars: BarStore
    frames: ResearchStore
    ledger: Ledger
    calendar: TradingCalendar
    clock: Clock
    settings: Settings
    provenance: Provenance

    @property
    def trigger(self) -> Timeframe:
        """At whose bars' closes setups are scored (T1)."""
        return self.settings.sabr20.t1

    @property
    def confirmation(self) -> Timeframe:
        """What confirms a setup and what the market is screened on (T2)."""
        return self.settings.sabr20.t2

    @property
    def regime(self) -> Timeframe:
        """What setups and market are judged on in the large (T3)."""
        return self.settings.sabr20.t3

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """All that decisions look at, the shortest first."""
        return self.trigger, self.confirmation, self.regime, DAILY

    def index_symbols(self) -> list[str]:
        """Symbols that describe the market and are not traded."""
        rules = self.settings.regime
        return sorted({*rules.trend_indices, *rules.correlation_symbols, rules.vix_symbol})

    def history(self, session: date, timeframe: Timeframe) -> Sequence[date]:
        """The fixed number of sessions up to and including `session` that decisions read, as far as they are stored.

        It starts on the same session before the first bar of `session` arrives as after its close.
        """
        lengths = self.settings.history
        count = {
            self.trigger: lengths.trigger_sessions,
            self.confirmation: lengths.confirmation_sessions,
            self.regime: lengths.regime_sessions,
            DAILY: lengths.daily_sessions,
        }[timeframe]
        stored = self.stored(timeframe)
        earlier = [day for day in stored if day < session][1 - count :]
        return [*earlier, session] if session in stored else earlier

    def stored(self, timeframe: Timeframe) -> Sequence[date]:
        """Sessions with bars that can serve the timeframe, ascending."""
        base = self.bars.base_timeframe()
        intraday = set(self.bars.sessions(base)) if base else set()
        daily = set(self.bars.sessions(DAILY)) if timeframe is DAILY else set()
        return sorted(intraday | daily)

    def view(self, session: date, timeframe: Timeframe, symbols: Sequence[str] | None = None) -> pd.DataFrame:
        """Bars of the decision history in the units of `session`."""
        return self.bars.view(timeframe, self.history(session, timeframe), as_of=session, symbols=symbols)

    def screen_instants(self, session: date) -> list[pd.Timestamp]:
        """When coarse screen and regime are computed: before the open, then at every second close of a trigger bar.

        With 15-minute bars: 07:00, then every 30 minutes from 10:00 to the close.
        """
        times, every = self.calendar.times(session), TRIGGERS_PER_SCREEN * self.trigger.length
        in_session = pd.date_range(times.opens_at + every, times.closes_at, freq=every)
        return self._known(times, [pd.Timestamp(times.opens_at - PREMARKET_LEAD), *in_session])

    def trigger_instants(self, session: date) -> list[pd.Timestamp]:
        """When SABR20 scores: the close of every trigger bar."""
        times = self.calendar.times(session)
        return self._known(times, list(pd.date_range(times.opens_at, times.closes_at, freq=self.trigger.length))[1:])

    def instants(self, session: date) -> list[pd.Timestamp]:
        """Every instant at which something is computed in the session, ascending."""
        return sorted({*self.screen_instants(session), *self.trigger_instants(session)})

    def is_running(self, session: date) -> bool:
        """True from the end of the session before until the session's close."""
        now = self.clock.now()
        return self.calendar.session_of(now) == session and now < self.calendar.times(session).closes_at

    def last_bar_end(self, session: date) -> datetime | None:
        """End of the newest stored base bar of the session, of any symbol; None when none is stored."""
        base = self.bars.base_timeframe()
        return self.bars.last_end(base, session) if base else None

    def _known(self, times: SessionTimes, instants: list[pd.Timestamp]) -> list[pd.Timestamp]:
        """Instants that have come to pass: not after the clock's now.

        While the session runs also not after the newest bar: a bar still being delivered is not a closed one.
        """
        known_until = self.clock.now()
        if self.is_running(times.session):
            known_until = min(known_until, self.last_bar_end(times.session) or times.opens_at)
        before_open = min(self.clock.now(), times.opens_at)
        return [instant.as_unit("ns") for instant in instants if instant <= max(known_until, before_open)]
