"""Sessions in which a price falls, and what is on record of the breaker then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.breaker import ControlView, read_control, read_history
from trading_pipeline.services.latch import Latch
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, minute, path
from trading_pipeline_tests.services.test_replay_acts import watched

TIGHT = {"daily_loss_fraction": "0.002"}
"""200 USD of 100,000: 200 XYZ may fall by 1.00."""
FALL: dict[int, object] = {5: "50.00", 20: "49.90", 60: "48.80"}
DIP: dict[int, object] = {5: "50.00", 20: "49.90", 40: "49.20", 60: "50.10"}


def falling(stage: Stage, prices: dict[int, object], **settings: Any) -> Scene:
    """200 XYZ bought at 50.00 in minute 20, and then these prices."""
    return watched(stage, path(prices), at=(15,), **{"risk": TIGHT, **settings})


def next_day(scene: Scene, symbol: str) -> None:
    """A friendly regime, and the symbol on the watchlist."""
    scene.regime(
        regime_id="next", session=NEXT.session, as_of=minute(0, NEXT), created_at=minute(0, NEXT)
    )  # fmt: skip
    scene.watchlist(symbol, at=15, times=NEXT)


def played(scene: Scene, latch: Latch | None = None) -> None:
    scene.loop(desk=scene.desk(latch=latch)).run()


def view(scene: Scene, latch: Latch | None = None) -> ControlView:
    return read_control(scene.ledger, latch, "A", scene.rules.breaker)


def history(scene: Scene) -> list[tuple[str, int]]:
    """(what, minute) of the history."""
    return [
        (one.data.get("trigger", one.kind), int((one.occurred_at - OPENS) / timedelta(minutes=1)))
        for one in read_history(scene.ledger, "A")
    ]


def event(scene: Scene, kind: str) -> RiskEvent:
    with scene.ledger.read() as tx:
        (found,) = [one for one in tx.risk_events("A", TIMES.session) if one.kind == kind]
    return found


# losses
