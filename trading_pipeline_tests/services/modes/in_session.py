"""An account in a mode, and what its session notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trading_pipeline.domain.mode_terms import Terms
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.modes.terms import TERMS_SEEN
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline_tests.builders import a_trade
from trading_pipeline_tests.services.modes.climbing import climbed, copy_modes
from trading_pipeline_tests.services.modes.people import GROUND, HandClock, Office
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene

JANUARY = datetime(2025, 1, 2, 12, tzinfo=UTC)
LIVE: dict[str, Any] = {"mode": "live"}


def office(scene: Scene) -> Office:
    ground = replace(GROUND, config_hash="c", limits=scene.rules.risk)
    return Office(scene.ledger, ground, HandClock(JANUARY))


def in_mode(scene: Scene, mode: Mode, *, at: datetime | None = None, **ground: object) -> Office:
    """The scene's account, taken there in January by evidence and approvals; the last approval is of `at`.

    The evidence is of a ledger of its own: the scene's venue knows nothing of it.
    """
    people = office(scene)
    climber = people.under(**ground)
    copy_modes(climbed(climber, mode, at=at), scene.ledger, "A")
    return people


def notes(scene: Scene, session: object = TIMES.session) -> list[RiskEvent]:
    with scene.ledger.read() as tx:
        return [one for one in tx.risk_events("A", session) if one.kind == TERMS_SEEN]  # type: ignore[arg-type]


def terms(scene: Scene, session: object = TIMES.session) -> list[Terms]:
    return [Terms.of(one.data) for one in notes(scene, session)]


def kinds(scene: Scene, session: object = TIMES.session) -> list[str]:
    with scene.ledger.read() as tx:
        return [one.kind for one in tx.risk_events("A", session)]  # type: ignore[arg-type]


def shares(scene: Scene) -> list[int]:
    return [int(order.quantity) for order in scene.orders(Leg.ENTRY)]


def lowered(scene: Scene, to: Rung) -> Callable[[], None]:
    def act() -> None:
        with scene.ledger.transaction() as tx:
            change_mode(tx, "A", ChangeKind.LOWER, to, at=OPENS, reason="a drill", actor="kim")

    return act


def with_trades(scene: Scene, *nets: int, at: datetime = OPENS) -> Callable[[], None]:
    def act() -> None:
        with scene.ledger.transaction() as tx:
            for net in nets:
                tx.add_trade(
                    a_trade(net, session=at.date(), entry_at=at, exit_at=at, snapshot_id=None, setup_id=None)
                )  # fmt: skip

    return act
