"""What a person is told at a look: the newest session's alarms, without what is only information."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.status import leader, read_alarms
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


def test_a_lease_that_was_released_or_ran_out_leads_nobody() -> None:
    lease = Lease(
        name="session-loop-A", holder="host:7", token=3, acquired_at=minute(1), heartbeat_at=minute(9),
        expires_at=minute(10),
    )  # fmt: skip
    until = f"{minute(10):%Y-%m-%d %H:%M:%S} UTC"

    assert leader(lease, minute(9)) == f"host:7 until {until}"
    assert leader(lease, minute(10)) == f"nobody (last host:7, until {until})"
    assert leader(None, minute(10)) is None
