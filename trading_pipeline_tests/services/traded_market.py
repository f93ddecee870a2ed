"""A small synthetic market, researched and traded for a few sessions with loosened rules, so that trades happen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services.reporting import ReportDesk
from trading_pipeline.services.research import run_research
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace

SPEC = SyntheticMarketSpec(symbols=12, sessions=110, timeframe=Timeframe.MIN5, reversals_per_symbol_year=60)
NOW = datetime(2026, 1, 5, tzinfo=UTC)
LOOSE = Settings.model_validate(
    {
        "universe": {"min_average_volume_shares": 0},
        "coarse": {"min_score": 20},
        "sabr20": {"grades": {"a_min_score": 50, "a_min_reward_risk": 1.2}},
        "execution": {"risk": {"min_reward_risk": "1.0"}, "plan": {"min_score": 0}},
    }
)


@dataclass(frozen=True)
class TradedMarket:
    """A home with bars, research and a record, and the sessions that were traded."""

    workspace: Workspace
    sessions: tuple[date, ...]

    @property
    def account(self) -> str:
        return self.workspace.settings.execution.account

    @property
    def desk(self) -> ReportDesk:
        home = self.workspace
        return ReportDesk(ledger=home.ledger, frames=home.frames, bars=home.bars, calendar=home.calendar)


def trade_a_market(home: Path, count: int = 3) -> TradedMarket:
    """Build the market in a home folder and trade its last sessions."""
    workspace = Workspace(home, LOOSE, clock=FixedClock(NOW))
    populate(SPEC, workspace.bars, workspace.calendar)
    sessions = tuple(market_sessions(SPEC, workspace.calendar))[-count:]
    room = workspace.room()
    for session in sessions:
        run_research(workspace.research, session)
        room.loop(session).run()
    return TradedMarket(workspace, sessions)
