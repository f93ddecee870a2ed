"""The trading core as a state machine: random acts and faults, and laws that hold after each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trading_pipeline_tests.machine.__main__ import ledgers
from trading_pipeline_tests.machine.acts import ACTS, Act
from trading_pipeline_tests.machine.bugs import BUGS, Break
from trading_pipeline_tests.machine.drive import a_world, play_all, play_world, replay
from trading_pipeline_tests.machine.peace import settle
from trading_pipeline_tests.memory_ledger import MemoryLedger

SEED = 20_250_609


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class TradingMachine(RuleBasedStateMachine):
    """The specification: which acts there are, when each is possible, and what holds after every one.

    hypothesis chooses, and makes what it finds small. `steps` counts over all runs.
    """

    steps: ClassVar[int] = 0

    @initialize(number=st.integers(0, 3))
    def begin(self, number: int) -> None:
        """A world of one kind."""
        self.world, self.laws = a_world(number, MemoryLedger)

    @rule()
    def peace(self) -> None:
        """After a time without faults everything is at rest."""
        settle(self.world, self.laws)

    @invariant()
    def laws_hold(self) -> None:
        """Every law, after every act."""
        TradingMachine.steps += 1
        self.laws.check()


def _as_rule(act: Act) -> Any:
    def play(self: TradingMachine, **numbers: int) -> None:
        act.play(self.world, *numbers.values())

    play.__name__, play.__doc__ = act.name, act.play.__doc__
    drawn: Any = {f"number_{n}": st.integers(0, most) for n, most in enumerate(act.bounds)}
    is_possible: Any = precondition(lambda self: act.allowed(self.world))
    is_rule: Any = rule(**drawn)
    return is_possible(is_rule(play))


for one in ACTS.values():
    for number in range(1 + one.weight // 20):  # what is chosen more often is there more often
        setattr(TradingMachine, f"{one.name}_{number}", _as_rule(one))


def _run_machine(examples: int, *, derandomize: bool) -> int:
    """Runs of 60 acts each; returns the steps."""
    before = TradingMachine.steps
    run_state_machine_as_test(
        TradingMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, database=None, derandomize=derandomize,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        ),
    )  # fmt: skip
    return TradingMachine.steps - before


def test_the_laws_hold_in_whatever_hypothesis_thinks_of() -> None:
    assert _run_machine(25, derandomize=True) > 500


def test_the_laws_hold_in_random_worlds() -> None:
    played = play_all(2_500, SEED)

    assert played.failure is None, played.failure.message
    assert played.rested > played.steps / 2
    needed = {
        "own entry: Filled",
        "own stop: Filled",
        "crashed",
        "event: reports_unknown",
        "trade: target",
        "overnight",
    }
    assert not {name for name in needed if not played.what[name]}


def test_both_ledgers_play_one_world_alike() -> None:
    with ledgers("sqlite") as make_ledger:
        real = play_world(SEED + 1, make_ledger, 50)
    assert real.failure is None, real.failure.message
    assert real.what == play_world(SEED + 1, MemoryLedger, 50).what


@pytest.mark.soak
def test_many_runs_of_hypothesis() -> None:
    assert _run_machine(500, derandomize=False) > 20_000


# bugs put in on purpose: each must be found


FIND_WITHIN = 10_000
"""Steps."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_seeded_bug_is_found_and_named_by_few_acts(bug: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)

    found = play_all(FIND_WITHIN, SEED).failure

    assert found is not None
    assert "LawBroken" in found.words
    assert replay(found.seed, found.moves)
    monkeypatch.undo()
    assert not replay(found.seed, found.moves)
