"""A trip in a session stops the mode; who may let it go on."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.modes import Rung
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.breaker import resume
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline_tests.services.braking import FALL, falling, played
from trading_pipeline_tests.services.modes.in_session import in_mode
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Stage, flat_bars, minute
from trading_pipeline_tests.services.test_replay_acts import watched


def test_a_trip_stops_the_mode_and_a_person_s_word_ends_it_in_simulation(stage: Stage, latch: Latch) -> None:
    scene = falling(stage, FALL)
    played(scene, latch)

    with scene.ledger.read() as tx:
        state = present_mode(tx, "A")
    assert (state.name, state.rung) == ("EMERGENCY_STOP", Rung(Mode.SIMULATION))
    resume(
        scene.ledger, latch, scene.rules, reason="looked at it", operator="ann", at=minute(0, NEXT),
        override_cooldown=True,
    )  # fmt: skip
    with scene.ledger.read() as tx:
        state, trading = present_mode(tx, "A"), tx.trading_state("A")
    assert (state.name, trading.state if trading else None) == ("SIMULATION", TradingState.ACTIVE)


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE_MINIMAL])
def test_above_simulation_a_halted_account_goes_on_only_by_approval(stage: Stage, latch: Latch, mode: Mode) -> None:
    configured = "paper" if mode is Mode.PAPER else "live"
    scene = falling(stage, FALL, mode=configured, risk={"daily_loss_fraction": "0.0001"})
    people = in_mode(scene, mode)
    played(scene, latch)
    people.clock.instant = minute(60, NEXT)

    def resumed() -> TradingState:
        return resume(
            scene.ledger, latch, scene.rules, reason="looked at it", operator="ann", at=people.clock.now()
        ).state  # fmt: skip

    assert (people.state.is_stopped, people.state.mode) == (True, mode)
    with pytest.raises(TradingError, match="going on takes approval: trading-pipeline mode request RESUME"):
        resumed()
    assert latch.look().state is TradingState.HALTED
    with scene.ledger.transaction() as tx:  # the self-test of the newest session, which this loop did not make
        tx.add_risk_event(_self_test())
    people.approve(people.asked("RESUME"))
    assert (people.state.is_stopped, latch.look().state) == (False, TradingState.HALTED)

    assert resumed() is TradingState.ACTIVE
    assert (people.state.is_stopped, people.state.mode) == (False, mode)


def test_an_approval_to_go_on_is_good_for_one_stop(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, flat_bars(), mode="paper")
    people = in_mode(scene, Mode.PAPER)
    scene.loop().run()
    with scene.ledger.transaction() as tx:
        tx.add_risk_event(_self_test())

    people.clock.instant = minute(0, NEXT)
    for number in range(2):
        if number:
            people.clock.wait(hours=1)
        set_trading_state(
            scene.ledger, "A", TradingState.HALTED, reason="drill", operator="ann", at=people.clock.now()
        )  # fmt: skip
        people.clock.wait(hours=1)
        with pytest.raises(TradingError, match="going on takes approval"):
            resume(scene.ledger, latch, scene.rules, reason="ok", operator="ann", at=people.clock.now())
        people.approve(people.asked("RESUME"))
        resume(scene.ledger, latch, scene.rules, reason="ok", operator="ann", at=people.clock.now())
        assert people.state.name == "PAPER"


def _self_test() -> RiskEvent:
    return RiskEvent(
        event_id="tested", account="A", session=TIMES.session, occurred_at=minute(0), kind="self_test", severity="INFO",
        message="all good", data={"turn": "000001", "blocked_by": ""},
    )  # fmt: skip
