"""Too many requests at Alpaca: an order turned away unread is no doubt, and leaves again under its id soon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import NotTaken, OutcomeUnknown
from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.services.border import border
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.adapters.rehearsed_worlds import AtAlpaca, at_alpaca
from trading_pipeline_tests.contract_tests.care import MOST_BARE_SECONDS, a_second, decided
from trading_pipeline_tests.contract_tests.rehearsed import Call, entries_at_venue
from trading_pipeline_tests.services.scripted import Scene, Stage, a_bar
from trading_pipeline_tests.venue.builders import a_bracket

HELD, SENT = Dispatched(held=1), Dispatched(sent=1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Stage(tmp_path / "stage").scene()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AtAlpaca]:
    with at_alpaca(tmp_path, 5.0) as world:
        yield world


def at_the_border(world: AtAlpaca, scene: Scene) -> Desk:
    """The desk with its entry decided; what leaves is paced."""
    desk = decided(world, scene)
    edge = border(desk.broker, desk.clock, desk.rules.submission)
    return replace(desk, broker=edge, border=edge)


def later(world: AtAlpaca, seconds: float) -> None:
    world.clock.sleep_until(world.clock.now() + timedelta(seconds=seconds))


def test_an_entry_turned_away_is_in_no_doubt_and_leaves_under_its_id_when_alpaca_may_be_asked(
    world: AtAlpaca, scene: Scene
) -> None:
    desk = at_the_border(world, scene)
    world.play(Call.SUBMIT, Fault.HTTP_429)

    assert dispatch_due(desk) == HELD
    assert dispatch_due(desk) == HELD  # too soon: Alpaca is left alone
    assert (scene.order().status, scene.events()) == (OrdStatus.PENDING_NEW, [])
    assert entries_at_venue(world) == []
    later(world, 1.1)
    assert dispatch_due(desk) == SENT

    assert entries_at_venue(world) == [scene.order().client_order_id]
    assert world._world.faults.played == {Fault.HTTP_429: 1}
    with scene.ledger.read() as tx:
        assert list(tx.blocks(desk.account)) == []


def test_an_entry_that_is_turned_away_until_it_expires_is_sent_no_more(world: AtAlpaca, scene: Scene) -> None:
    desk = at_the_border(world, scene)
    world.play(Call.SUBMIT, Fault.HTTP_429, times=0)
    dispatch_due(desk)
    world.heal()
    world.clock.sleep_until(world.clock.now() + timedelta(hours=1))

    assert dispatch_due(desk) == Dispatched(expired=1)

    assert set(scene.statuses().values()) == {OrdStatus.EXPIRED}
    assert entries_at_venue(world) == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_protective_stop_turned_away_covers_its_shares_within_seconds_and_once(
    world: AtAlpaca, scene: Scene, times: int
) -> None:
    desk = at_the_border(world, scene)
    dispatch_due(desk)
    world.play(Call.SUBMIT, Fault.HTTP_429, times=times)
    world.deliver(a_bar(20, "49.90", low="49.80", volume=800))  # 80 of 200: its legs wait for the whole entry

    bare = [a_second(world, desk) for _ in range(MOST_BARE_SECONDS + 8)]

    assert sum(shares > 0 for shares in bare) <= MOST_BARE_SECONDS
    assert not bare[-1]
    stops = [order for order in world.venue.open_orders() if order.stop_price is not None]
    assert [(stop.stop_price, stop.quantity) for stop in stops] == [(Decimal(48), Decimal(80))]
    assert "order_in_doubt" not in {kind for kind, _ in scene.events()}
    assert world._world.faults.played[Fault.HTTP_429] == times


def test_a_sending_turned_away_after_one_whose_answer_was_lost_is_still_in_doubt(world: AtAlpaca) -> None:
    world.play(Call.SUBMIT, Fault.DROP_REPLY)
    with pytest.raises(OutcomeUnknown):
        world.broker.submit(a_bracket())
    world.play(Call.SUBMIT, Fault.HTTP_429)

    with pytest.raises(OutcomeUnknown) as doubt:
        world.broker.submit(a_bracket())

    assert not isinstance(doubt.value, NotTaken)
    assert not world.broker.never_left("b-e", world.clock.now())
    world.heal()
    later(world, 61)
    assert world.broker.order("b-e") is not None
    assert len(world.venue.open_orders()) == 3


def test_a_new_process_looks_up_what_the_former_one_was_turned_away_with(world: AtAlpaca, scene: Scene) -> None:
    world.play(Call.SUBMIT, Fault.HTTP_429)
    dispatch_due(at_the_border(world, scene))
    world.hang_up()
    world.reopen()
    later(world, 61)
    desk = scene.desk(broker=world.broker, clock=world.clock)

    assert dispatch_due(desk) == SENT

    assert entries_at_venue(world) == [scene.order().client_order_id]


@pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.HTTP_429, Fault.DROP_REPLY, Fault.HTML_BODY, Fault.MALFORMED])
def test_a_lookup_by_our_id_without_an_answer_leaves_the_doubt_and_the_next_one_ends_it(
    world: AtAlpaca, fault: Fault
) -> None:
    world.play(Call.SUBMIT, Fault.DROP_REPLY)
    with pytest.raises(OutcomeUnknown):
        world.broker.submit(a_bracket())
    world.play(Call.LOOK, fault, times=2)

    with pytest.raises(OutcomeUnknown):
        world.broker.order("b-e")

    assert world._world.faults.played[fault]
    world.heal()
    later(world, 120)
    found = world.broker.order("b-e")
    assert found is not None
    assert world.broker.submit(a_bracket()) == found.venue_order_id
    assert len(world.venue.open_orders()) == 3
