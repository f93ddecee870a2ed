"""A stop of our own that is refused at a broker's door is tried again in seconds, and a person hears of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.adapters.rehearsed_worlds import at_alpaca, at_tws
from trading_pipeline_tests.contract_tests.care import MOST_BARE_SECONDS, a_second, decided
from trading_pipeline_tests.contract_tests.rehearsed import Call, Rehearsed
from trading_pipeline_tests.services.scripted import Scene, Stage, a_bar

Way = Callable[[Path, float], AbstractContextManager[Rehearsed]]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Stage(tmp_path / "stage").scene()


def bought(world: Rehearsed, scene: Scene) -> Desk:
    """200 XYZ are held, and somebody has cancelled their stop and their target."""
    desk = decided(world, scene)
    dispatch_due(desk)
    world.deliver(a_bar(20, "49.90", low="49.80"))
    a_second(world, desk)
    desk.broker.cancel(scene.order(Leg.STOP).client_order_id)
    return desk


@pytest.mark.parametrize(("way", "messages"), [(at_alpaca, 1), (at_tws, 2)])
def test_a_stop_refused_twice_covers_its_shares_within_ten_seconds_and_rings_the_alarm(
    tmp_path: Path, scene: Scene, way: Way, messages: int
) -> None:
    with way(tmp_path, 5.0) as world:
        desk = bought(world, scene)
        world.play(Call.SUBMIT, Fault.REJECT, times=2 * messages, client_order_id="*")

        bare = [a_second(world, desk) for _ in range(MOST_BARE_SECONDS + 2)]

        assert 2 <= sum(shares > 0 for shares in bare) <= MOST_BARE_SECONDS
        assert not bare[-1]
        stops = [order for order in world.venue.open_orders() if order.stop_price is not None]
        assert [(stop.stop_price, stop.quantity) for stop in stops] == [(Decimal(48), Decimal(200))]
        assert ("unprotected", "CRITICAL") in scene.events()


def test_a_stop_refused_for_ever_is_tried_ever_less_often(tmp_path: Path, scene: Scene) -> None:
    with at_alpaca(tmp_path, 5.0) as world:
        desk = bought(world, scene)
        world.play(Call.SUBMIT, Fault.REJECT, times=0)

        for _ in range(70):
            a_second(world, desk)

        refused = [order for order in scene.orders(Leg.STOP) if order.status is OrdStatus.REJECTED]
        assert 5 <= len(refused) <= 7  # after 2, 4, 8, 16, 32, then every 60 s
        assert scene.events("unprotected") == [("unprotected", "CRITICAL")]
