"""A leg whose request was lost on its way to TWS ends on record as what it is: it never arrived."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.reconcile import reconcile
from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.adapters.rehearsed_worlds import AtTws, at_tws
from trading_pipeline_tests.contract_tests.care import a_second, agree, decided, sync
from trading_pipeline_tests.contract_tests.rehearsed import Call, healed
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, a_bar


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Stage(tmp_path / "stage").scene()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[AtTws]:
    with at_tws(tmp_path, 1.0) as world:
        world._world.check_account()
        yield world


@pytest.mark.parametrize("leg", ["-s", "-t"])
def test_no_leg_of_a_bracket_is_open_on_record_after_the_close_when_a_part_of_it_was_lost(
    hasty: AtTws, scene: Scene, leg: str
) -> None:
    desk = decided(hasty, scene)
    hasty.play(Call.SUBMIT, Fault.DROP_REQUEST, times=1, client_order_id=f"*{leg}*")
    dispatch_due(desk)
    healed(hasty)

    for _ in range(3):
        a_second(hasty, desk)
    hasty.clock.sleep_until(TIMES.closes_at)
    hasty.market.on_session_close(TIMES)
    sync(desk)

    assert [order for order in scene.orders() if order.is_open] == []
    assert scene.fills() == []


def test_a_target_lost_beside_a_stop_that_works_ends_and_the_position_can_be_left(hasty: AtTws, scene: Scene) -> None:
    desk = decided(hasty, scene)
    dispatch_due(desk)
    hasty.deliver(a_bar(20, "49.90", low="49.80"))
    a_second(hasty, desk)
    desk.broker.cancel(scene.order(Leg.STOP).client_order_id)
    hasty.play(Call.SUBMIT, Fault.DROP_REQUEST, times=1, client_order_id="*-t*")
    for _ in range(2):
        a_second(hasty, desk)
    healed(hasty)

    for _ in range(4):
        hasty.clock.sleep_until(hasty.clock.now() + timedelta(seconds=10))
        a_second(hasty, desk)
        reconcile(desk, TIMES.session)

    targets = [order.status for order in scene.orders(Leg.TARGET)]
    assert OrdStatus.PENDING_NEW not in targets
    stops = [order for order in hasty.venue.open_orders() if order.stop_price is not None]
    assert [(stop.stop_price, stop.quantity) for stop in stops] == [(Decimal(48), Decimal(200))]
    assert agree(hasty, desk)
