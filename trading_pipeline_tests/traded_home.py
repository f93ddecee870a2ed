"""One home folder, researched and traded through Dagster once per test run and shared by all workers; read only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.wiring import Workspace, open_workspace

SPEC = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5, reversals_per_symbol_year=60)
LOOSE = {
    "universe": {"min_average_volume_shares": 0},
    "coarse": {"min_score": 20},
    "sabr20": {"grades": {"a_min_score": 40, "a_min_reward_risk": 1.0}},
    "execution": {"risk": {"min_reward_risk": "0.8"}, "plan": {"min_score": 0}},
}
"""Rules loose enough that a small market trades every session."""


@dataclass(frozen=True)
class TradedHome:
    """Two traded sessions, and the next one researched but not traded: it is `running`."""

    home: Path
    profile: Path
    traded: tuple[date, ...]
    running: date

    def open(self) -> Workspace:
        return open_workspace(self.home, profile=self.profile)

    def deciding_in_jobs(self, folder: Path) -> TradedHome:
        """A copy in which a Dagster job decides, not the loop; its running session is researched under that setting."""
        from trading_pipeline.services.research import run_research

        made = self.copied_to(folder)
        profile = folder / "decider.yaml"
        text = self.profile.read_text(encoding="utf-8")
        profile.write_text(text.replace("execution:", "execution:\n  decider: dagster_job"), encoding="utf-8")
        made = replace(made, profile=profile)
        run_research(made.open().research, made.running)
        return made

    def copied_to(self, folder: Path) -> TradedHome:
        """A copy that a test may change."""
        shutil.copytree(self.home.with_name("pristine"), folder / "home")
        return TradedHome(folder / "home", self.profile, self.traded, self.running)


def build(root: Path) -> TradedHome:
    """Make the market and run the three jobs, as the demo does."""
    from trading_pipeline.cli.launch import run_range, run_replay

    *_, first, second, running = market_sessions(SPEC, ExchangeCalendar())
    profile = root / "profile.yaml"
    profile.write_text(yaml.safe_dump(LOOSE), encoding="utf-8")
    made = TradedHome(root / "home", profile, (first, second), running)
    workspace = made.open()
    populate(SPEC, workspace.bars, workspace.calendar)
    run_range(workspace, "research_job", first, running)
    run_replay(workspace, first, second)
    run_range(workspace, "performance_report_job", first, second)
    return made


@pytest.fixture(scope="session")
def traded_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TradedHome:
    """The shared home; whichever worker comes first builds it."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "traded-home"
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            build(root)
            shutil.copytree(root / "home", root / "pristine")  # nobody opens this one, so it can be copied at any time
            (root / "done").touch()
    *_, first, second, running = market_sessions(SPEC, ExchangeCalendar())
    return TradedHome(root / "home", root / "profile.yaml", (first, second), running)
