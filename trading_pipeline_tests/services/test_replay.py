"""A recorded session decides the same again, or says that it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import ReplayDivergence
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.ports import Ledger
from trading_pipeline.services.desk import Provenance
from trading_pipeline.services.replay import Replayed, replay_session
from trading_pipeline.services.session_loop import Progress, SessionLoop
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_session_loop import an_eventful_day

HASH_OF_A_DAY = """
import sys
from pathlib import Path
from trading_pipeline_tests.services.test_session_loop import an_eventful_day
from trading_pipeline_tests.services.scripted import Stage
from trading_pipeline_tests.services.test_session_loop import an_eventful_day
print(an_eventful_day(Stage(Path(sys.argv[1]))).loop().run().decision_hash)
"""


@dataclass
class Room:
    """A scene as a trading room."""

    scene: Scene
    any_research: bool = False

    @property
    def ledger(self) -> Ledger:
        return self.scene.ledger

    def loop(self, session: date, on_step: Progress | None = None) -> SessionLoop:
        times = TIMES if session == TIMES.session else NEXT
        loop = self.scene.loop(times, self.scene.desk(times=times, any_research=self.any_research))
        loop.on_step = on_step
        return loop

    def session_of(self, instant: datetime) -> date:
        return instant.date()


def scratch(stage: Stage, bars: list[MarketBar], made: list[Decimal]) -> Callable[[Decimal], Room]:
    """Rooms of their own over the given bars; notes the cash each was opened with."""

    def make(opening_cash_usd: Decimal) -> Room:
        made.append(opening_cash_usd)
        return Room(stage.unknown_regime(bars=bars, initial_cash_usd=opening_cash_usd), any_research=True)

    return make


def replayed(stage: Stage, scene: Scene, session: date, bars: list[MarketBar] | None = None) -> Replayed:
    return replay_session(Room(scene), scratch(stage, bars or scene.bars, []), "A", session)


@pytest.fixture
def traded(stage: Stage) -> Scene:
    scene = stage.scene(bars=path({5: "50.00", 20: "49.90", 60: "57.00"}))
    scene.watchlist("XYZ")
    assert not replayed(stage, scene, TIMES.session).verified
    return scene


def test_a_session_on_record_is_verified_and_leaves_no_trace(stage: Stage, traded: Scene) -> None:
    with traded.ledger.read() as tx:
        before = tx.row_counts()

    assert replayed(stage, traded, TIMES.session).verified

    with traded.ledger.read() as tx:
        assert tx.row_counts() == before


def test_a_changed_bar_that_changes_fills_diverges(stage: Stage, traded: Scene) -> None:
    lower = path({5: "50.00", 20: "49.80", 60: "55.00"})

    with pytest.raises(ReplayDivergence, match=r"2025-06-10 decides differently now.*trading-pipeline decisions"):
        replayed(stage, traded, TIMES.session, lower)


def test_a_changed_bar_that_changes_nothing_is_no_divergence(stage: Stage, traded: Scene) -> None:
    more = [*traded.bars, *flat_bars("20.00", "NEW")]

    assert replayed(stage, traded, TIMES.session, more).verified


def test_an_interrupted_session_is_finished_not_verified(stage: Stage) -> None:
    scene = stage.scene()
    loop = scene.loop()
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(40)
    loop.run()

    done = replayed(stage, scene, TIMES.session)

    assert not done.verified
    assert replayed(stage, scene, TIMES.session).verified


def test_a_position_held_overnight_is_verified_from_the_last_flat_session_on(stage: Stage) -> None:
    # given a symbol halted before the time exit, sold the next day
    bars = [b for b in path({5: "50.00", 20: "49.90"}) if b.end_at <= minute(90)]
    scene = stage.scene(bars=[*bars, *flat_bars("50.50", times=NEXT)])
    scene.watchlist("XYZ")
    for session in (TIMES.session, NEXT.session):
        replayed(stage, scene, session)
    opened: list[Decimal] = []
    steps: list[datetime] = []

    done = replay_session(
        Room(scene), scratch(stage, scene.bars, opened), "A", NEXT.session, lambda at, _done, _all: steps.append(at)
    )

    assert done.verified
    assert opened == [Decimal(100_000)]  # one room, opened with the cash of the day before
    assert {step.date() for step in steps} == {NEXT.session}


def test_a_watchlist_of_another_configuration_is_not_traded(stage: Stage) -> None:
    # given a what-if recorded after the desk's own watchlist of the same instant
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(symbol="ABC")])
    scene.watchlist("XYZ")
    scene.watchlist("ABC", made_under="what-if")
    scene.watchlist("ABC", at=30, made_under="what-if")

    replayed(stage, scene, TIMES.session)

    assert {order.symbol for order in scene.orders()} == {"XYZ"}


def test_research_made_again_under_other_settings_is_not_what_a_recorded_session_is_verified_on(
    stage: Stage, traded: Scene
) -> None:
    # given another watchlist and a hostile regime recorded later for instants that were traded
    traded.watchlist("ABC", made_under="again")
    traded.regime(score=10.0, config_hash="again")

    assert replayed(stage, traded, TIMES.session).verified


def test_a_session_finished_under_newer_research_is_verified_on_what_each_part_was_decided_on(stage: Stage) -> None:
    # given a session interrupted after its first watchlist, and finished under another configuration
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(symbol="ABC")])
    scene.watchlist("XYZ")
    loop = scene.loop()
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(40)
    loop.run()
    newer = Provenance(code_version="1", config_hash="newer")
    scene.watchlist("XYZ", made_under="newer")
    scene.watchlist("ABC", at=45, made_under="newer")
    scene.regime(at=30, config_hash="newer", regime_id="newer")

    scene.loop(desk=scene.desk(provenance=newer)).run()

    with scene.ledger.read() as tx:
        planned = [(plan.symbol, plan.as_of) for plan in tx.plans("A", TIMES.session)]
    assert planned == [("XYZ", minute(15)), ("ABC", minute(45))]
    assert replayed(stage, scene, TIMES.session).verified


def test_the_hash_does_not_depend_on_the_hash_seed(stage: Stage, tmp_path: Path) -> None:
    here = an_eventful_day(stage).loop().run().decision_hash

    command = [sys.executable, "-c", HASH_OF_A_DAY, str(tmp_path)]
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()

    assert here == there
