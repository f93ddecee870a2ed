"""What a person is told at a look: the newest session's alarms, without what is only information."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.status import read_alarms
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, minute


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """A session on record in which nothing happened."""
    scene = stage.scene()
    scene.loop().run()
    return scene


def an_event(number: int, severity: str) -> RiskEvent:
    return RiskEvent(
        event_id=f"event-{number}", account="A", session=TIMES.session, occurred_at=minute(number), kind="unprotected",
        severity=severity, message=f"look {number}", data={},
    )  # fmt: skip


def test_alarms_are_told_in_order_and_information_is_left_out(scene: Scene) -> None:
    with scene.ledger.transaction() as tx:
        for number, severity in enumerate(("CRITICAL", "INFO", "WARNING")):
            tx.add_risk_event(an_event(number, severity))

    told = read_alarms(scene.ledger, "A")

    assert [(one["level"], one["message"]) for one in told] == [("CRITICAL", "look 0"), ("WARNING", "look 2")]


def test_without_a_session_there_is_no_alarm(stage: Stage) -> None:
    assert read_alarms(stage.scene().ledger, "A") == []
