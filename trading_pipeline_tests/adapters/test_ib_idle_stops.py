"""A stop that Interactive Brokers only holds (Inactive) protects nothing: real client library, desk and TWS door."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline_tests.adapters.rehearsed_worlds import AtTws, at_tws
from trading_pipeline_tests.contract_tests.care import MOST_BARE_SECONDS, a_second, decided
from trading_pipeline_tests.services.scripted import Scene, Stage, a_bar


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Stage(tmp_path / "stage").scene()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AtTws]:
    with at_tws(tmp_path, 5.0) as world:
        yield world


def holding(world: AtTws, scene: Scene) -> Desk:
    """200 XYZ are held under a stop and a target that work."""
    desk = decided(world, scene)
    dispatch_due(desk)
    world.deliver(a_bar(20, "49.90", low="49.80"))
    a_second(world, desk)
    assert working_stops(world) == [Decimal(200)]
    return desk


def working_stops(world: AtTws) -> list[Decimal]:
    """Shares under each stop that TWS shows as working."""
    orders = world.broker.open_orders()
    return [one.quantity for one in orders if one.stop_price is not None and one.status is OrdStatus.NEW]


def act(world: AtTws, name: str, scene: Scene) -> None:
    world._world.doors.act(name, order_ref=scene.orders(Leg.STOP)[0].client_order_id)


def test_a_stop_that_tws_holds_is_cancelled_and_its_shares_are_covered_anew_within_seconds(
    world: AtTws, scene: Scene
) -> None:
    desk = holding(world, scene)
    act(world, "hold", scene)

    for _ in range(MOST_BARE_SECONDS):
        a_second(world, desk)

    assert working_stops(world) == [Decimal(200)]
    old, new = sorted(scene.orders(Leg.STOP), key=lambda order: order.created_at)
    assert (old.status, new.status, new.stop_price) == (OrdStatus.CANCELED, OrdStatus.NEW, Decimal(48))
    act(world, "let_go", scene)
    a_second(world, desk)
    assert working_stops(world) == [Decimal(200)]


def test_a_held_stop_that_works_again_before_its_cancel_is_the_only_one(world: AtTws, scene: Scene) -> None:
    desk = holding(world, scene)
    act(world, "hold", scene)
    desk.broker.execution_reports(desk.clock.now())  # it is heard of, and nothing is done about it yet
    act(world, "let_go", scene)

    for _ in range(3):
        a_second(world, desk)

    (stop,) = scene.orders(Leg.STOP)
    assert stop.status is OrdStatus.NEW
    assert working_stops(world) == [Decimal(200)]


def test_a_held_stop_that_cannot_be_cancelled_is_not_doubled_and_a_person_is_called(world: AtTws, scene: Scene) -> None:
    desk = holding(world, scene)
    act(world, "hold", scene)
    world._world.doors.door.desk.cancels.ask = lambda order: None  # type: ignore[method-assign]  # noqa: ARG005

    for _ in range(8):
        a_second(world, desk)

    (stop,) = scene.orders(Leg.STOP)
    assert stop.status is OrdStatus.DONE_FOR_DAY
    assert ("unprotected", "CRITICAL") in scene.events()
    act(world, "let_go", scene)
    a_second(world, desk)
    assert scene.orders(Leg.STOP)[0].status is OrdStatus.NEW
    assert working_stops(world) == [Decimal(200)]
