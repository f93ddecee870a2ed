"""Whether an account may be traded at a broker: all conditions, every combination, every reason told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.domain.control import TradingState, TradingStateRecord
from trading_pipeline.domain.errors import NotPermitted, OutcomeUnknown, TradingError
from trading_pipeline.domain.modes import EMERGENCY_STOP, ChangeKind, ModeRules, Rung, limits_hash
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import Ledger
from trading_pipeline.services.modes.permission import (
    ACCOUNT,
    ALERTS,
    APPROVAL,
    AUDIT,
    CONFIGURED,
    EQUITY,
    KEYS,
    STOP,
    Permission,
    Seen,
)
from trading_pipeline.services.modes.stopping import put_state, require_approved
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline_tests.builders import a_position, dec
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.people import GROUND, START, Office
from trading_pipeline_tests.services.scripted import rules

EVERY = (CONFIGURED, KEYS, APPROVAL, STOP, ALERTS, AUDIT, ACCOUNT, EQUITY)
ENOUGH = Seen("123", dec(5_000))


def a_ledger(*, mode: Mode = Mode.LIVE_MINIMAL, stopped: bool = False, **ground: object) -> Ledger:
    """An account in a mode, by evidence and approval."""
    ledger = MemoryLedger()
    Office(ledger, replace(GROUND, config_hash="c", limits=rules().risk)).under(**ground).climb(mode)
    if stopped:
        with ledger.transaction() as tx:
            put_state(
                tx,
                TradingStateRecord(
                    account="A", state=TradingState.HALTED, reason="drill", set_by="kim", changed_at=START
                ),
            )
    return ledger


def a_permission(ledger: Ledger, *without: str, mode: str = "live") -> Permission:
    """Everything as it must be but these conditions, as far as they are not the ledger's."""
    return Permission(
        ledger=ledger, rules=rules(mode=mode), config_hash="c", pinned="" if CONFIGURED in without else "123",
        key_faults=lambda: ("paper keys",) if KEYS in without else (), channels=0 if ALERTS in without else 1,
        idle=lambda: (), audit_fault=lambda: "entry 7 was changed" if AUDIT in without else "",
    )  # fmt: skip


def look(*without: str) -> Callable[[], Seen]:
    return lambda: Seen("999" if ACCOUNT in without else "123", dec("4999.99") if EQUITY in without else dec(5_000))


def test_of_all_combinations_only_the_one_without_anything_missing_may_trade_live() -> None:
    """0 starts in a live mode without every condition, and each refusal names exactly what is missing."""
    ledgers = {
        (approved, running): a_ledger(mode=Mode.LIVE_MINIMAL if approved else Mode.PAPER, stopped=not running)
        for approved, running in itertools.product((True, False), repeat=2)
    }
    started = []
    for without in (set(found) for size in range(len(EVERY) + 1) for found in itertools.combinations(EVERY, size)):
        permission = a_permission(ledgers[APPROVAL not in without, STOP not in without], *without)
        refused = refusal(permission, *without)
        if refused is None:
            started.append(without)
            continue
        asked = without if not without & {CONFIGURED, KEYS} else without - {ACCOUNT, EQUITY}
        assert set(refused.missing) == asked, without
        assert all(f"{name}: " in str(refused) for name in refused.missing)
    assert started == [set()]


def refusal(permission: Permission, *without: str) -> NotPermitted | None:
    """Of a whole start."""
    try:
        permission.require(look(*without))
        permission.require_seen(look(*without)())
    except NotPermitted as refused:
        return refused
    return None


def test_the_broker_is_asked_only_where_identity_is_right_and_to_tell_all_at_once() -> None:
    asked: list[str] = []

    def told() -> Seen:
        asked.append("asked")
        return Seen("999", dec(1))

    a_permission(a_ledger()).require(told)
    assert not asked
    with pytest.raises(NotPermitted):
        a_permission(a_ledger(), KEYS).require(told)
    assert not asked
    with pytest.raises(NotPermitted) as refused:
        a_permission(a_ledger(), AUDIT).require(told)
    assert (asked, refused.value.missing) == (["asked"], (AUDIT, ACCOUNT, EQUITY))


def test_a_broker_that_does_not_answer_has_confirmed_nothing() -> None:
    def mute() -> Seen:
        raise OutcomeUnknown("no answer")

    with pytest.raises(NotPermitted, match="account: the broker did not confirm it: no answer"):
        a_permission(a_ledger(), ALERTS).require(mute)


def test_a_relay_that_does_not_run_is_nobody_who_tells() -> None:
    permission = replace(a_permission(a_ledger()), idle=lambda: ("audit", "alerts"))

    with pytest.raises(NotPermitted, match="nothing carries audit, alerts on: trading-pipeline relay run"):
        permission.require(look())


@pytest.mark.parametrize("equity", ["NaN", "Infinity", "-1", "0", "4999.99"])
def test_an_equity_that_buys_no_smallest_order_is_too_little(equity: str) -> None:
    with pytest.raises(NotPermitted, match=r"smallest order takes 5000 USD"):
        a_permission(a_ledger()).require_seen(Seen("123", Decimal(equity)))


@pytest.mark.parametrize(
    ("ground", "words"),
    [({"config_hash": "d"}, "approved under configuration d, and c is set now"),
     ({"limits": rules(risk={"max_open_positions": 1}).risk}, "with other limits than those of now")],
)  # fmt: skip
def test_what_was_approved_for_other_settings_is_not_approved(ground: dict[str, Any], words: str) -> None:
    with pytest.raises(NotPermitted, match=words):
        a_permission(a_ledger(**ground)).require(look())


def test_a_live_mode_that_was_only_lowered_rests_on_its_approval() -> None:
    ledger = a_ledger(mode=Mode.LIVE_SCALED)
    with ledger.transaction() as tx:
        change_mode(tx, "A", ChangeKind.LOWER, Rung(Mode.LIVE_MINIMAL), at=START, reason="losses", actor="mode_watch")

    a_permission(ledger).require(look())


BY_HAND = r"approval: the mode of account A was written by hand: its row says .*; emergency_stop: "


@pytest.mark.parametrize(
    ("mode", "lowered", "written"),
    [
        (Mode.PAPER, False, {"mode": Mode.LIVE_MINIMAL, "symbols": 2}),
        (Mode.LIVE_MINIMAL, False, {"mode": Mode.LIVE_SCALED, "step": 3, "symbols": 100}),
        (Mode.LIVE_MINIMAL, True, {"mode": Mode.LIVE_MINIMAL, "symbols": 2}),
    ],
)
def test_a_rung_that_was_written_by_hand_lets_nothing_begin(mode: Mode, lowered: bool, written: dict[str, Any]) -> None:
    ledger = a_ledger(mode=mode)
    with ledger.transaction() as tx:
        if lowered:
            change_mode(tx, "A", ChangeKind.LOWER, Rung(Mode.PAPER), at=START, reason="losses", actor="mode_watch")
    write_by_hand(ledger, **written)

    with pytest.raises(NotPermitted, match=BY_HAND):
        a_permission(ledger).require(look())


def test_a_stop_that_was_ended_by_hand_is_one_still() -> None:
    ledger = a_ledger(stopped=True)
    write_by_hand(ledger, is_stopped=False)

    with pytest.raises(NotPermitted, match=BY_HAND):
        a_permission(ledger).require(look())


def test_simulation_written_by_hand_does_not_let_one_person_end_a_live_stop() -> None:
    ledger = a_ledger(stopped=True)
    write_by_hand(ledger, mode=Mode.SIMULATION, symbols=None)

    with ledger.read() as tx, pytest.raises(TradingError, match="going on takes approval"):
        require_approved(tx, "A")


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        (ModeRules(approvers=2), "LIVE_MINIMAL was approved by 1 of 2 people"),
        (ModeRules(requester_may_approve=False), "LIVE_MINIMAL was approved by kim, who had asked for it"),
    ],
)
def test_an_approval_under_softer_rules_than_those_of_now_is_not_enough(modes: ModeRules, words: str) -> None:
    """Whoever runs the command chooses its environment; the session has one of its own."""
    permission = a_permission(a_ledger())
    permission.require(look())

    with pytest.raises(NotPermitted, match=words):
        replace(permission, modes=modes).require(look())


def test_a_rung_above_the_one_that_was_approved_is_not_approved() -> None:
    ledger = a_ledger()
    with ledger.transaction() as tx:  # as somebody who may insert rows would: a fall that leads upwards
        change = tx.mode_changes("A")[-1]
        upwards = replace(
            change, change_id="upwards", kind=ChangeKind.LOWER, mode=Mode.LIVE_SCALED, step=3, symbols=9, approvals=()
        )
        tx.add_mode_change(upwards)
        tx.save_mode_state(upwards.state)

    with pytest.raises(NotPermitted, match=r"LIVE_MINIMAL was approved, and the account is in LIVE_SCALED step 3"):
        a_permission(ledger).require(look())


def write_by_hand(ledger: Ledger, **values: Any) -> None:
    """As somebody who writes into the table would."""
    with ledger.transaction() as tx:
        state = tx.mode_state("A")
        assert state is not None
        tx.save_mode_state(replace(state, **values))


def test_people_end_what_was_written_by_hand() -> None:
    ledger = MemoryLedger()
    office = Office(ledger, replace(GROUND, config_hash="c", limits=rules().risk))
    office.climb(Mode.PAPER)
    write_by_hand(ledger, mode=Mode.LIVE_SCALED, step=3, symbols=9)
    assert office.state.name == EMERGENCY_STOP

    office.approve(office.asked("RESUME"))

    assert (office.state.name, office.desk.by_hand()) == ("PAPER", "")


def test_a_change_that_names_approvals_which_were_used_for_another_is_no_approval() -> None:
    ledger = a_ledger(mode=Mode.PAPER)
    with ledger.transaction() as tx:  # as somebody who writes into the tables would
        (change,) = tx.mode_changes("A")
        limits = limits_hash(rules().risk, Rung(Mode.LIVE_MINIMAL))
        forged = replace(change, change_id="forged", mode=Mode.LIVE_MINIMAL, symbols=2, limits_hash=limits)
        tx.add_mode_change(forged)
        tx.save_mode_state(forged.state)

    with pytest.raises(NotPermitted, match=r"no used approval of a live mode is on record"):
        a_permission(ledger).require(look())


def test_paper_needs_its_own_rung_and_its_own_keys() -> None:
    a_permission(a_ledger(mode=Mode.PAPER), mode="paper").require(look(ACCOUNT, EQUITY))
    with pytest.raises(NotPermitted, match=r"is in SIMULATION, and execution.mode paper needs PAPER or above"):
        a_permission(MemoryLedger(), mode="paper").require(look())
    with pytest.raises(NotPermitted) as refused:
        a_permission(a_ledger(mode=Mode.PAPER, stopped=True), KEYS, mode="paper").require(look())
    assert refused.value.missing == (KEYS, STOP)


def test_paper_needs_a_mode_that_the_audit_log_tells_of() -> None:
    with pytest.raises(NotPermitted, match="audit_log: entry 7 was changed"):
        a_permission(a_ledger(mode=Mode.PAPER), AUDIT, mode="paper").require(look())


def test_the_audit_log_gets_a_moment_before_real_money_is_traded_and_nowhere_else() -> None:
    waited: list[str] = []
    for mode, of in (("live", Mode.LIVE_MINIMAL), ("paper", Mode.PAPER), ("simulation", Mode.SIMULATION)):
        permission = a_permission(a_ledger(mode=of) if of is not Mode.SIMULATION else MemoryLedger(), mode=mode)
        replace(permission, catch_up=lambda mode=mode: waited.append(mode)).require(look())  # type: ignore[misc]

    assert waited == ["live"]


def test_simulation_needs_nothing() -> None:
    permission = a_permission(MemoryLedger(), *EVERY, mode="simulation")

    permission.require(look(*EVERY))
    assert permission.checks() == ()


@pytest.mark.parametrize("without", [APPROVAL, STOP, ALERTS, AUDIT])
def test_what_is_held_is_looked_after_though_nothing_may_be_entered(without: str) -> None:
    ledger = a_ledger(mode=Mode.PAPER if without == APPROVAL else Mode.LIVE_MINIMAL, stopped=without == STOP)
    permission = a_permission(ledger, without)
    with pytest.raises(NotPermitted):
        permission.require(look())

    with ledger.transaction() as tx:
        tx.save_position(a_position())

    permission.require(look())


@pytest.mark.parametrize("without", [CONFIGURED, KEYS])
def test_who_we_are_is_never_in_doubt_whatever_is_held(without: str) -> None:
    ledger = a_ledger()
    with ledger.transaction() as tx:
        tx.save_position(a_position())

    with pytest.raises(NotPermitted, match=without):
        a_permission(ledger, without).require(look())
    with pytest.raises(NotPermitted, match=r"the broker says 999, broker.account_id says 123"):
        a_permission(ledger).require_seen(look(ACCOUNT)())
