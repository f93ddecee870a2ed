"""One home folder, researched and traded through Dagster once per test run and shared by all workers; read only."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
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
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class TradedHome:
    """Two traded sessions, and the next one researched but not traded: it is `running`."""

    home: Path
    profile: Path
    traded: tuple[date, ...]
    running: date

    def open(self) -> Workspace:
        return open_workspace(self.home, profile=self.profile)

    def copied_to(self, folder: Path) -> TradedHome:
        """A copy that a test may change."""
        shutil.copytree(self.home.with_name("pristine"), folder / "home")
        return TradedHome(folder / "home", self.profile, self.traded, self.running)


@dataclass
class ClockThatIsStopped(FixedClock):
    """Somebody presses Ctrl-C, or Dagster terminates the run, at an instant of the session."""

    interrupted_at: datetime = NEVER

    def sleep_until(self, instant: datetime) -> None:
        if instant > self.interrupted_at:
            raise KeyboardInterrupt
        super().sleep_until(instant)


def before_the_open(made: TradedHome) -> datetime:
    return made.open().calendar.times(made.running).opens_at - timedelta(minutes=15)


def at_noon(made: TradedHome) -> datetime:
    return made.open().calendar.times(made.running).opens_at + timedelta(minutes=150)


def at_first_picks(made: TradedHome) -> datetime:
    """A minute after the running session's first watchlist that selects something."""
    with made.open().ledger.read() as tx:
        return next(one.as_of for one in tx.snapshots(made.running) if one.selected) + timedelta(minutes=1)


def interrupted(made: TradedHome, at: datetime | None = None) -> Workspace:
    """The running session hosted from the open to an instant, or to noon, then interrupted."""
    clock = ClockThatIsStopped(before_the_open(made), interrupted_at=at or at_noon(made))
    opened = replace(made.open(), clock=clock)
    with pytest.raises(KeyboardInterrupt):
        opened.host(made.running)
    return opened


def build_deciding(made: TradedHome, root: Path) -> None:
    """In a copy where a Dagster job decides, not the loop: researched, and run until there is something to buy."""
    from trading_pipeline.services.research import run_research

    text = made.profile.read_text(encoding="utf-8").replace("execution:", "execution:\n  decider: dagster_job")
    (root / "profile.yaml").write_text(text, encoding="utf-8")
    copy = replace(made.copied_to(root), profile=root / "profile.yaml")
    run_research(copy.open().research, copy.running)
    interrupted(copy, at_first_picks(copy))


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


def once_a_run(factory: pytest.TempPathFactory, worker_id: str, name: str, make: Callable[[Path], object]) -> Path:
    """A folder made by whichever worker comes first; a copy of its home that nobody opens lies beside it."""
    base = factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / name
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            make(root)
            shutil.copytree(root / "home", root / "pristine")
            (root / "done").touch()
    return root


@pytest.fixture(scope="session")
def traded_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TradedHome:
    """The shared home; whichever worker comes first builds it."""
    root = once_a_run(tmp_path_factory, worker_id, "traded-home", build)
    *_, first, second, running = market_sessions(SPEC, ExchangeCalendar())
    return TradedHome(root / "home", root / "profile.yaml", (first, second), running)


@pytest.fixture(scope="session")
def deciding_home(traded_home: TradedHome, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TradedHome:
    """The shared home in which a job decides, its session running until something is to be bought."""

    def make(root: Path) -> None:
        build_deciding(traded_home, root)

    root = once_a_run(tmp_path_factory, worker_id, "deciding-home", make)
    return replace(traded_home, home=root / "home", profile=root / "profile.yaml")


@pytest.fixture(scope="session")
def replayed_home(traded_home: TradedHome, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TradedHome:
    """The shared home once its running session was replayed, undisturbed; read only."""

    def make(root: Path) -> None:
        list(traded_home.copied_to(root).open().replay(traded_home.running, traded_home.running))

    root = once_a_run(tmp_path_factory, worker_id, "replayed-home", make)
    return replace(traded_home, home=root / "home")
