"""A book that drifts above a limit is told of once a session, and again when it is back; nothing is decided by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trading_pipeline.domain.drift import standing
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_usage import usages
from trading_pipeline_tests.builders import a_book, an_exposure, facts
from trading_pipeline_tests.fakes import Crashed, Fuse, FusedLedger
from trading_pipeline_tests.services.scripted import Scene, Stage, minute, path
from trading_pipeline_tests.services.test_replay_acts import again, watched

RISE: dict[int, object] = {5: "50.00", 20: "49.90", 40: "54.00", 80: "50.00", 120: "54.50", 160: "50.00"}
"""200 XYZ are bought at 50.00: 10 % of the equity; from 52.50 on they are more than 5 % above that limit."""


def drifts(scene: Scene) -> list[tuple[str, str, int]]:
    """(kind, limit, minute) of what was told."""
    with scene.ledger.read() as tx:
        told = [one for one in tx.alerts("A") if one.kind in {"limit_drifted", "limit_regained"}]
    return [
        (one.kind, one.data["limit_name"], int((one.occurred_at - minute(0)).total_seconds() // 60)) for one in told
    ]


def day(stage: Stage, **settings: Any) -> Scene:
    return watched(stage, path(RISE), at=(15,), **settings)


def test_a_price_that_carries_a_position_above_its_limit_is_told_once_and_so_is_its_return(stage: Stage) -> None:
    scene = day(stage)
    scene.loop().run()

    name = "max_position_notional_fraction"
    assert drifts(scene) == [("limit_drifted", name, 45), ("limit_regained", name, 90)]
    assert again(stage, scene).verified


def test_after_a_crash_what_was_told_is_not_told_again(stage: Stage) -> None:
    whole, crashed = day(stage), day(stage)
    whole.loop().run()
    for at in (50, 100):
        fuse = Fuse()
        loop = crashed.loop(desk=crashed.desk(ledger=FusedLedger(crashed.ledger, fuse)))
        loop.on_step = lambda now, *_, at=at, fuse=fuse: (
            setattr(fuse, "burns_at", fuse.touched + 1) if now == minute(at) else None
        )
        with pytest.raises(Crashed):
            loop.run()
    crashed.loop().run()

    assert drifts(crashed) == drifts(whole)


def test_an_uptick_of_what_was_cut_to_a_limit_is_not_told(stage: Stage) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90", 40: "51.00"}), at=(15,))
    scene.loop().run()

    assert scene.fills()
    assert drifts(scene) == []


def test_every_limit_that_a_book_can_drift_above_is_measured_as_the_checks_measure_it() -> None:
    book = a_book(
        exposures=(
            replace(an_exposure("AAA", 100, "60.00", average_entry="50.00"), stop=None),
            an_exposure("BBB", 10, "50.00", stop="48.00"),
        ),
    )
    book = replace(book, facts={symbol: facts(symbol) for symbol in ("AAA", "BBB")})
    limits = RiskLimits()
    by_checks = {(one.name, one.of): (one.limit, one.used) for one in usages(book, limits)}
    found = {
        (one.name, one.of): (one.limit, one.used)
        for one in standing(book.exposures, book.equity_usd, limits, book.facts)
    }

    assert len(found) == 5
    assert {key: by_checks[key] for key in found} == found
