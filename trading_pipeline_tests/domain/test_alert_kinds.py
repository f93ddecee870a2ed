"""The table of alert kinds: complete, and what the code raises is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trading_pipeline
from trading_pipeline.domain.alert_causes import BEGAN, OF_CODE, OF_CONDITION
from trading_pipeline.domain.alert_kinds import KINDS, AlertKind, alert
from trading_pipeline.domain.breaker_rules import CONDITIONS, Trigger
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline_tests.builders import AT, SESSION

ROOT = Path(trading_pipeline.__file__).parent
MAKERS = frozenset({"Alert", "RiskEvent", "alert", "raise_once"})
"""What makes an alert, or what raises one. Functions that pass a kind on to them are found."""
NEVER_LOUD = frozenset(
    {
        "trading_state_seen", "reduction", "partial_profit", "exit_requested", "exit_started", "plan_refused",
        "rebalance_planned", "rebalance_finished", "mode_terms", "risk_suggestion",
    }
)  # fmt: skip
"""Risk events that are always INFO and raise nothing."""
CALLED_OTHERWISE = {BEGAN}
"""A condition's alert has the name of what began."""
SPECIFIED = (
    "new A+ setup", "position opened", "position closed", "stop hit", "target hit", "daily-loss approaching",
    "limit exceeded", "correlation breach", "buying power low", "connection lost", "connection restored", "API error",
    "data issue", "start", "shutdown", "mode change", "breaker trip", "reconciliation mismatch", "report ready",
    "checkpoint overdue",
)  # fmt: skip
"""The events of the specification."""


class Module:
    """One module's constants, and the kinds it hands to what makes alerts."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.constants = dict(self._constants())

    def _constants(self) -> Iterator[tuple[str, str]]:
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                names, values = node.targets[0], node.value
                if isinstance(names, ast.Name) and isinstance(values, ast.Constant):
                    yield names.id, str(values.value)
                if isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple):
                    for name, value in zip(names.elts, values.elts, strict=True):
                        if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                            yield name.id, str(value.value)

    def passing_on(self) -> dict[str, int]:
        """Functions with a parameter `kind` whose body makes an alert, and its place."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                names = [one.arg for one in node.args.args if one.arg != "self"]
                if "kind" in names and any(_name(call) in MAKERS for call in _calls(node)):
                    found[node.name] = names.index("kind")
        return found

    def kinds(self) -> Iterator[ast.expr]:
        passing = self.passing_on()
        for call in _calls(self.tree):
            named = [keyword.value for keyword in call.keywords if keyword.arg == "kind"]
            if _name(call) == "alert":
                yield from call.args[:1]
            elif _name(call) in MAKERS:
                yield from named
            elif _name(call) in passing:
                yield from named or call.args[passing[_name(call)] :][:1]


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def used() -> set[str]:
    """Every kind that the code names where it makes an alert or a risk event, wherever the name is kept."""
    modules = [Module(path) for path in sorted(ROOT.rglob("*.py")) if "migrations" not in path.parts]
    constants = {name: value for module in modules for name, value in module.constants.items()}
    found = set()
    for module in modules:
        for node in module.kinds():
            if isinstance(node, ast.Constant):
                found.add(str(node.value))
            elif isinstance(node, ast.Name):
                found.update({**constants, **module.constants}.get(node.id, "").split())
    return found


def test_every_kind_in_the_code_is_in_the_table() -> None:
    names = used()

    assert {"unprotected", "order_in_doubt", "session_started", "run_failed"} <= names  # the search finds something
    assert names - NEVER_LOUD - CALLED_OTHERWISE - set(KINDS) == set()


def test_every_trip_condition_and_limit_is_in_the_table() -> None:
    trips = {one.value for one in Trigger if one not in CONDITIONS} - {Trigger.PAUSE.value}
    conditions = {OF_CONDITION.get(one.value, one.value) for one in CONDITIONS}

    assert trips | conditions | set(OF_CODE.values()) <= set(KINDS)


@pytest.mark.parametrize("event", SPECIFIED)
def test_every_event_that_is_asked_for_has_a_kind(event: str) -> None:
    assert [kind for kind in KINDS.values() if kind.event == event]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_named_like_a_setting_and_says_what_it_means(kind: AlertKind) -> None:
    assert kind.name.replace("_", "").isalpha()
    assert kind.name == kind.name.lower()
    assert kind.levels
    assert kind.meaning
    assert not kind.meaning.endswith(".")


def test_an_alert_is_known_by_its_kind_account_session_and_cause() -> None:
    def made(kind: str = "stop_hit", account: str = "A", cause: str = "trade-1", message: str = "words") -> str:
        return alert(kind, cause, account=account, session=SESSION, at=AT, message=message).alert_id

    assert made() == made(message="other words")
    assert len({made(), made(kind="target_hit"), made(account="B"), made(cause="trade-2")}) == 4
    assert alert("loop_dead", account="A", session=SESSION, at=AT, message="m").level is AlertLevel.CRITICAL
