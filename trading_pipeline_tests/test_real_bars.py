"""Two real sessions of 2025, from delivered files to reports; skipped where the files are not at hand."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from trading_pipeline.adapters.data_import import ImportReport, ImportSpec, import_bars, read_delivery
from trading_pipeline.domain.market import Adjustment, Timeframe
from trading_pipeline.services.checks import funnel_faults
from trading_pipeline.services.funnel import session_funnel
from trading_pipeline.services.replay import copy_research
from trading_pipeline.services.research import run_research
from trading_pipeline.settings import load_settings
from trading_pipeline.wiring import Workspace

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TRADING_PIPELINE_SHARED", ROOT.parent / "shared")) / "data"
BARS, DAILY, VIX = (
    DATA / name
    for name in (
        "internal/bars_5m_2025.parquet",
        "internal/daily_raw_2024_2026.parquet",
        "licensed/vix_daily.parquet",
    )
)
SESSIONS = (date(2025, 8, 14), date(2025, 8, 15))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BARS.exists(), reason=f"no real bars at {DATA}: set TRADING_PIPELINE_SHARED to try them"),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A home with the real 5-minute, daily and VIX bars, researched for two sessions."""
    profile = ROOT / "config" / "profiles" / "indices-spy-qqq.yaml"
    home = Workspace(tmp_path_factory.mktemp("real"), load_settings(profile=profile, environ={}))
    through = date(2026, 1, 30)
    delivered(home, BARS, ImportSpec(timeframe=Timeframe.MIN5, adjustment=Adjustment.SPLIT, adjusted_through=through))
    delivered(home, DAILY, ImportSpec(timeframe=Timeframe.DAY1))
    delivered(home, VIX, ImportSpec(timeframe=Timeframe.DAY1, symbol="VIX"))
    for session in SESSIONS:
        run_research(home.research, session)
    return home


def delivered(home: Workspace, path: Path, spec: ImportSpec) -> ImportReport:
    report = import_bars(read_delivery(path, spec=spec), spec, home.calendar, home.bars, known_at=home.clock.now())
    assert report.delivered == report.good + report.quarantined + report.collapsed
    return report


def test_real_sessions_are_traded_and_their_funnels_conserve(workspace: Workspace) -> None:
    replayed = list(workspace.replay(*SESSIONS))

    assert [one.record.session for one in replayed] == list(SESSIONS)
    for session in SESSIONS:
        funnel = session_funnel(workspace.frames, workspace.ledger, workspace.settings.execution.account, session)
        assert funnel_faults(funnel) == []
        assert funnel.counts["universe"] > 20
        assert funnel.counts["scored"] > 0


def test_a_real_regime_knows_all_its_inputs(workspace: Workspace) -> None:
    with workspace.ledger.read() as tx:
        regimes = tx.regimes(SESSIONS[-1])

    assert len(regimes) == 14
    assert all(regime.missing == () for regime in regimes)
    assert all(0 < regime.score <= 100 for regime in regimes)


def test_replaying_real_sessions_in_a_fresh_account_decides_the_same(workspace: Workspace) -> None:
    recorded = [one.record.decision_hash for one in workspace.replay(*SESSIONS)]
    with workspace.scratch_rooms() as scratch:
        room = scratch(workspace.settings.execution.initial_cash_usd)
        again = []
        for session in SESSIONS:
            copy_research(workspace.ledger, room.ledger, session)
            again.append(room.loop(session).run().decision_hash)

    assert again == recorded


def test_a_stock_dearer_than_the_universe_allows_is_judged_by_what_it_traded_at(workspace: Workspace) -> None:
    """NFLX traded above 1,000 USD then; the delivered 5-minute bars are adjusted for the 10:1 split that came later."""
    universe = workspace.frames.read("universe", SESSIONS[-1]).set_index("symbol")

    assert universe["price"].to_dict()["NFLX"] > 1_000
    assert universe["reason"].to_dict()["NFLX"] == "price_above_maximum"
