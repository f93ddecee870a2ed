"""A process asked to end: the order in hand is finished, no further entry leaves, the next process goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from trading_pipeline.domain.errors import StopRequested
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.services.hosted import HostedBroker
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.scripted import Scene, Stage, flat_bars

SYMBOLS = ("ABC", "DEF", "XYZ")


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """Three entries are due at minute 15."""
    found = stage.scene(bars=[bar for symbol in SYMBOLS for bar in flat_bars("50.00", symbol=symbol)])
    found.watchlist(*SYMBOLS, at=15)
    return found


def asked_at(scene: Scene, number: int) -> tuple[SessionLoop, list[str]]:
    """A loop whose process is asked to end while its n-th order is with the venue; and what was sent."""
    asked: list[str] = []

    def around(name: str, call: Callable[[], object]) -> object:
        if name == "submit":
            asked.append(name)
        return call()

    desk = scene.desk()
    broker = Wrapped(desk.broker, around)
    desk = replace(desk, broker=broker, stop_requested=lambda: len(asked) >= number)
    loop = scene.loop(desk=desk)
    loop.stop_requested = desk.stop_requested
    return loop, broker.sent


@pytest.mark.parametrize("number", [1, 2])
def test_e25_the_order_in_hand_is_finished_and_no_further_entry_leaves(scene: Scene, number: int) -> None:
    loop, sent = asked_at(scene, number)

    loop.run()

    assert len(sent) == number
    on_record = [order for order in scene.orders(Leg.ENTRY) if order.status is OrdStatus.NEW]
    assert [order.client_order_id for order in on_record] == sent
    assert {order.symbol for order in scene.venue.open_orders()} == set(SYMBOLS[:number])


def test_the_next_process_sends_what_was_left_once(scene: Scene) -> None:
    loop, first = asked_at(scene, 1)
    loop.run()

    again, second = asked_at(scene, 99)
    again.run()

    assert len({*first, *second}) == len(first) + len(second)
    assert len(scene.orders(Leg.ENTRY)) == 3
    assert {order.status for order in scene.orders(Leg.ENTRY)} == {OrdStatus.FILLED}


def test_once_its_time_is_over_the_venue_is_asked_nothing_more_and_the_next_process_ends_the_same(
    stage: Stage, scene: Scene
) -> None:
    calm = stage.scene(bars=scene.bars)
    calm.watchlist(*SYMBOLS, at=15)
    expected = calm.loop().run().decision_hash
    for left in range(1, 12, 2):
        requests = iter(range(left))

        def before(requests: object = requests) -> None:
            if next(requests, None) is None:  # type: ignore[call-overload]
                raise StopRequested("time is over")

        desk = scene.desk()
        with pytest.raises(StopRequested):
            scene.loop(desk=replace(desk, broker=HostedBroker(desk.broker, before))).run()

    assert scene.loop().run().decision_hash == expected
