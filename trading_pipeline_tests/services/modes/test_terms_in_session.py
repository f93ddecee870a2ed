"""What a mode does to a session: its limits, its first trades, its falls; and a replay does the same again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.domain.audit import MODE_CHANGED
from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.modes import Rung
from trading_pipeline.domain.orders import AnyRequest, Leg, OrdStatus
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.ports import VenueCapabilities
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.modes.noting import SUGGESTED
from trading_pipeline.services.modes.stopping import stop_mode
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.modes.in_session import (
    JANUARY,
    LIVE,
    in_mode,
    kinds,
    lowered,
    notes,
    shares,
    terms,
    with_trades,
)
from trading_pipeline_tests.services.modes.people import a_session
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Stage, flat_bars, minute, quote
from trading_pipeline_tests.services.test_replay_acts import ABOVE, Acts, again, run, watched


def test_an_account_of_which_nobody_said_anything_notes_nothing(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), at=(15,))
    scene.loop().run()

    assert notes(scene) == []
    assert shares(scene) == [200]


@pytest.mark.parametrize(
    ("mode", "configured", "risk", "expected"),
    [
        (Mode.PAPER, "paper", {}, 200),  # 0.5 % of 100,000 at 2 a share are 250; 10,000 USD at 50 are 200
        (Mode.PAPER, "paper", {"max_trade_risk_fraction": "0.002"}, 100),  # configuration is the stricter one
        (Mode.LIVE_MINIMAL, "live", {}, 10),  # 2 % of 100,000, of which a quarter: 500 USD at 50
        (Mode.LIVE_MINIMAL, "simulation", {}, 10),
    ],
)
def test_an_entry_is_as_large_as_configuration_and_mode_both_allow(
    stage: Stage, mode: Mode, configured: str, risk: dict[str, str], expected: int
) -> None:
    scene = watched(stage, flat_bars(), at=(15,), mode=configured, risk=risk)
    in_mode(scene, mode)

    scene.loop().run()

    assert shares(scene)[0] == expected
    assert [one.rung.mode for one in terms(scene)] == [mode]


def test_a_session_in_a_mode_is_verified_by_its_replay(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL)
    scene.loop().run()

    assert shares(scene)
    assert again(stage, scene).verified


@pytest.mark.parametrize("configured", ["paper", "live"])
def test_nothing_is_entered_in_a_mode_that_configuration_does_not_have(stage: Stage, configured: str) -> None:
    scene = watched(stage, flat_bars(), mode=configured)
    if configured == "live":
        in_mode(scene, Mode.PAPER)

    scene.loop().run()

    assert shares(scene) == []
    (noted,) = terms(scene)
    assert f"execution.mode {configured} needs" in noted.barred_by
    with scene.ledger.read() as tx:
        assert [block.kind for block in tx.blocks("A")] == [BlockKind.MODE]
    assert again(stage, scene).verified


def test_a_halt_that_was_lifted_by_hand_lets_nothing_be_entered(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), mode="paper")
    in_mode(scene, Mode.PAPER)
    with scene.ledger.transaction() as tx:  # the halt itself was taken out of the database, its stop was not
        stop_mode(tx, "A", at=JANUARY, reason="drill", actor="kim")

    scene.loop().run()

    assert shares(scene) == []
    assert "its trading state was set by hand" in terms(scene)[0].barred_by
    assert again(stage, scene).verified


def test_a_live_mode_that_was_approved_under_another_configuration_enters_nothing(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL, config_hash="d")

    scene.loop().run()

    assert shares(scene) == []
    assert "approved under configuration d, and c is set now" in terms(scene)[0].barred_by


def test_a_live_mode_that_was_approved_with_other_limits_enters_nothing(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL, limits=RiskLimits(max_trade_risk_fraction=dec("0.0005")))

    scene.loop().run()

    assert shares(scene) == []
    assert "with other limits than those of now" in terms(scene)[0].barred_by


def test_a_mode_lowered_in_the_session_binds_from_the_next_step_and_ends_what_it_outdates(stage: Stage) -> None:
    settings = {**LIVE, "risk": {"min_shares_live_scaled": 1}}
    scene = watched(stage, ABOVE, at=(15, 60), **settings)  # no entry fills
    in_mode(scene, Mode.LIVE_SCALED)

    run(scene, {30: lowered(scene, Rung(Mode.LIVE_MINIMAL))})

    first, second = scene.orders(Leg.ENTRY)
    assert [one.rung.mode for one in terms(scene)] == [Mode.LIVE_SCALED, Mode.LIVE_MINIMAL]
    assert (first.quantity, first.status) == (dec(25), OrdStatus.CANCELED)
    assert minute(30) <= first.updated_at <= minute(35)
    assert second.quantity == 40
    with scene.ledger.read() as tx:
        assert tx.blocks("A") == []
    assert again(stage, scene).verified


def test_a_fall_out_of_the_live_modes_leaves_exits_alone(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL)

    run(scene, {20: lowered(scene, Rung(Mode.PAPER))})

    assert len(shares(scene)) == 1
    assert {order.leg for order in scene.orders() if order.created_at > minute(20)} <= {Leg.STOP, Leg.EXIT}
    with scene.ledger.read() as tx:
        assert not tx.positions("A")
        assert [block.kind for block in tx.blocks("A")] == [BlockKind.MODE]
    assert again(stage, scene).verified


def test_after_five_trades_a_live_mode_has_its_whole_size(stage: Stage) -> None:
    scene = watched(stage, ABOVE, at=(15, 60), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL)
    with_trades(scene, 1, 1, 1, 1)()

    run(scene, {40: with_trades(scene, 1)})

    assert [one.first_fraction for one in terms(scene)] == [dec("0.25"), 1]
    small, large = shares(scene)
    assert large // small == 4


def test_after_a_rise_to_a_live_mode_the_first_day_is_watched(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), at=(15,), **LIVE)
    in_mode(scene, Mode.LIVE_MINIMAL, at=minute(-1380))  # 23 hours before the open

    scene.loop().run()

    assert [(one.is_watched, note.occurred_at) for one, note in zip(terms(scene), notes(scene), strict=True)] == [
        (True, minute(0)), (False, minute(60)),
    ]  # fmt: skip
    assert again(stage, scene).verified


def test_losses_in_a_row_halve_the_risk_and_nothing_gives_it_back_but_people(stage: Stage) -> None:
    scene = watched(stage, ABOVE, at=(15, 45, 90), **LIVE)
    people = in_mode(scene, Mode.LIVE_MINIMAL)
    with_trades(scene, 1, 1, 1, 1, 1)()

    run(scene, {30: with_trades(scene, -1, -1, -1), 60: with_trades(scene, 50)})

    assert [one.risk_fraction for one in terms(scene)] == [1, dec("0.5")]
    assert kinds(scene).count(SUGGESTED) == 1
    scene.watchlist("XYZ", at=15, times=NEXT)
    scene.loop(NEXT).run()
    assert [one.risk_fraction for one in terms(scene, NEXT.session)] == [dec("0.5")]
    assert people.state.mode is Mode.LIVE_MINIMAL
    assert again(stage, scene, NEXT.session).verified


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE_MINIMAL])
def test_six_losses_in_a_row_take_the_mode_down_and_say_so(stage: Stage, mode: Mode) -> None:
    scene = watched(stage, ABOVE, at=(15, 60), mode="paper" if mode is Mode.PAPER else "live")
    people = in_mode(scene, mode)

    run(scene, {30: with_trades(scene, *[-1] * 6)})

    beneath = tuple(Mode)[tuple(Mode).index(mode) - 1]
    assert people.state.mode is beneath
    assert [one.rung.mode for one in terms(scene)] == [mode, beneath]
    assert terms(scene)[-1].barred_by
    with scene.ledger.read() as tx:
        (alert,) = [one for one in tx.alerts("A", TIMES.session) if one.kind == MODE_CHANGED]
        (entry,) = [
            one for _, one in tx.audit_entries(limit=10_000) if one.kind == MODE_CHANGED and one.actor == "mode_watch"
        ]  # fmt: skip
    assert "6 losing trades in a row" in alert.message
    assert entry.data["after"] == beneath.value
    assert [order.status for order in scene.orders(Leg.ENTRY)] == [OrdStatus.CANCELED]


def test_a_mode_that_was_lowered_counts_anew(stage: Stage) -> None:
    scene = watched(stage, ABOVE, at=(15, 45, 60), **LIVE)
    people = in_mode(scene, Mode.LIVE_SCALED)

    run(scene, {30: with_trades(scene, *[-1] * 6)})

    assert people.state.mode is Mode.LIVE_MINIMAL
    assert kinds(scene).count(MODE_CHANGED) == 1


def test_a_drawdown_in_the_mode_takes_it_down_whatever_the_day_s_loss(stage: Stage) -> None:
    scene = watched(stage, ABOVE, at=(15,), mode="paper")
    people = in_mode(scene, Mode.PAPER)
    with scene.ledger.transaction() as tx:  # the account has opened a session of this mode with much more
        past = a_session("A", minute(-3000), dec(110_000))
        tx.save_session_record(past)
        tx.save_session_record(a_session("A", minute(-1500), dec(100_000)))

    scene.loop().run()

    assert people.state.mode is Mode.SIMULATION


# the emergency stop


def test_e46_nothing_in_the_trading_services_raises_a_mode_without_a_person(stage: Stage) -> None:
    """Whatever happens in sessions, the mode is never higher after them than what people approved."""
    scene = watched(stage, flat_bars(), **LIVE)
    people = in_mode(scene, Mode.PAPER)
    acts: Acts = {20: with_trades(scene, *[500] * 40)}

    run(scene, acts)

    with scene.ledger.read() as tx:
        (change,) = tx.mode_changes("A")
    assert people.state.mode is Mode.PAPER
    assert change.approvals


def test_an_entry_that_waits_to_leave_does_not_leave_once_the_mode_is_lowered(stage: Stage) -> None:
    scene = watched(stage, flat_bars(), at=(15,), **LIVE)
    in_mode(scene, Mode.LIVE_SCALED)
    desk = scene.desk(at=15)
    scene.start(desk)
    snapshot = scene.watchlist("XYZ", at=15)
    decide_on_snapshot(desk, snapshot, TIMES, quote("50.00", 15))
    reached: list[str] = []

    class Lowering(SimulatedBroker):
        """Somebody lowers the mode while the dispatch is under way."""

        @property
        def capabilities(self) -> VenueCapabilities:
            if not reached:
                reached.append("asked")
                lowered(scene, Rung(Mode.LIVE_MINIMAL))()
            return super().capabilities

        def submit(self, request: AnyRequest) -> str:
            raise AssertionError(f"it left: {request}")

    dispatch_due(replace(desk, broker=Lowering(scene.venue, desk.clock)))

    assert reached
    assert scene.order().status in {OrdStatus.PENDING_NEW, OrdStatus.CANCELED}
