"""What the machine has found, each as the short story it came down to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest

from trading_pipeline.domain.protection import cover_of
from trading_pipeline_tests.machine import acts, venue_acts
from trading_pipeline_tests.machine.drive import a_world
from trading_pipeline_tests.machine.laws import Laws
from trading_pipeline_tests.machine.world import ACCOUNT, World
from trading_pipeline_tests.memory_ledger import MemoryLedger

FLAT, DIP, RISE, SLIDE, FALL = 0, 1, 6, 7, 9
"""Shapes of bars."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def bars(world: World, *shapes: int) -> None:
    """Bars of AAA, a step after each; the other symbols stay where they are."""
    for shape in shapes:
        acts.bar_and_step(world, shape, FLAT, FLAT, FLAT)


def holding(kind: int) -> tuple[World, Laws]:
    """A world of a kind in which AAA was bought 2 % above its stop."""
    world, laws = a_world(kind, MemoryLedger)
    bars(world, FLAT, FLAT, FLAT)
    acts.watchlist(world, 1, 0, 1, 1)
    bars(world, DIP, FLAT)
    assert held(world) > 0
    return world, laws


def held(world: World) -> Decimal:
    with world.ledger.read() as tx:
        return sum((position.quantity for position in tx.positions(ACCOUNT)), Decimal(0))


def next_day(world: World) -> None:
    while not world.is_over:
        bars(world, FLAT)
    acts.close_session(world)
    acts.next_session(world, 0)


def test_a_position_that_a_bust_opens_again_in_a_later_session_is_told_again() -> None:
    world, laws = holding(0)
    bars(world, FALL)
    assert held(world) == 0
    next_day(world)

    assert venue_acts.bust(world, len(venue_acts.held_executions(world)) - 1)
    acts.sync(world)

    assert held(world) > 0
    with world.ledger.read() as tx:
        opened = [alert for alert in tx.alerts(ACCOUNT) if alert.kind == "position_opened"]
    assert len({alert.session for alert in opened}) == 2
    laws.check()


def test_shares_of_a_partial_sale_are_for_sale_in_the_step_that_takes_their_stop_away() -> None:
    world, laws = holding(2)

    bars(world, RISE, RISE, FLAT)

    with world.ledger.read() as tx:
        events = {event.kind for event in tx.risk_events(ACCOUNT, world.times.session)}
        (position,) = tx.positions(ACCOUNT)
        cover = cover_of(position.quantity, tx.open_orders(ACCOUNT))
    assert "partial_profit" in events
    assert cover.bare == 0
    laws.check()


def test_what_the_venue_said_last_thing_in_a_session_is_heard_in_the_next() -> None:
    world, laws = holding(0)
    bars(world, FALL)
    while not world.is_over:
        bars(world, FLAT)
    assert venue_acts.correct(world, 1, 3)
    world.socket.held_back = frozenset({world.venue._state.reports[-1].exec_id})
    acts.close_session(world)
    acts.next_session(world, 0)
    acts.calm(world)

    acts.attend(world, 0)

    laws.check()
    with world.ledger.read() as tx:
        assert not laws.unheard(tx)


def test_a_raised_stop_whose_report_is_late_is_not_taken_back() -> None:
    world, laws = holding(1)
    (stop,) = [order.client_order_id for order in world.venue.open_orders() if order.stop_price is not None]
    world.socket.held_back = frozenset(f"{stop}-{number}" for number in range(2, 9))
    bars(world, RISE, RISE, RISE, RISE)
    raised = stops_at_venue(world)

    bars(world, SLIDE, SLIDE, SLIDE, SLIDE)

    assert raised[0] > Decimal(51)
    assert not world.venue.positions()  # it was hit where it stood
    laws.check()


def stops_at_venue(world: World) -> list[Decimal]:
    return [order.stop_price for order in world.venue.open_orders() if order.stop_price is not None]
