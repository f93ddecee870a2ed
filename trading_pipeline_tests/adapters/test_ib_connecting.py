"""Connecting to TWS: what is wrong is said plainly, with what to do, and tried again with growing patience."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.ib import LinkState
from trading_pipeline.adapters.brokers.ib_client import LIBRARIES, library_name
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.errors import OutcomeUnknown, SettingsError
from trading_pipeline.domain.orders import Side
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.adapters.ib_worlds import HASTY, IbWorld, a_broker, until
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_order
from trading_pipeline_tests.venue.tws.doors import a_tws_door

PAPER = TwsDoorRules(messages_per_second=1_000, account="DU1234567")
LIVE = PAPER.model_copy(update={"account": "U7654321"})


@contextmanager
def a_world(tmp_path: Path, rules: TwsDoorRules = PAPER) -> Iterator[IbWorld]:
    venue = SimulatedVenue(None, VenueRules())
    with a_tws_door(venue, rules=rules) as doors:
        world = IbWorld(doors, venue, tmp_path, HASTY)
        try:
            yield world
        finally:
            world.broker.close()


def test_e53_the_maintained_library_is_used_where_it_is_installed(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.account()

        assert world.broker.health().library == library_name()
        assert library_name() in LIBRARIES


def test_nobody_listening_is_said_with_what_to_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    broker = a_broker(HASTY.model_copy(update={"port": port}), StandingClock(SESSION.opens_at), tmp_path)
    try:
        with pytest.raises(OutcomeUnknown, match=r"nobody listens at .* Start TWS or IB Gateway"):
            broker.positions()
        with pytest.raises(SettingsError, match="4002 paper"):
            broker.check_account("", is_live=False)
        with pytest.raises(OutcomeUnknown, match="nothing was sent"):
            broker.submit(a_bracket())
    finally:
        broker.close()


def test_something_else_on_the_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        rules = HASTY.model_copy(update={"port": server.getsockname()[1], "timeout_seconds": 0.2})
        broker = a_broker(rules, StandingClock(SESSION.opens_at), tmp_path)
        until(lambda: broker.health().state is LinkState.REFUSED)
        assert "did not answer as TWS" in broker.health().problem
        broker.close()


def test_a_client_id_in_use_is_said_by_its_number(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.account()
        second = a_broker(world.rules, world.clock, tmp_path / "second")
        until(lambda: second.health().state is LinkState.REFUSED)

        assert "client id 11 is in use" in second.health().problem
        with pytest.raises(SettingsError, match="client_id"):
            second.check_account("", is_live=False)
        world.broker.close()
        until(lambda: second.health().state is LinkState.READY)
        second.close()


def test_a_read_only_api_is_said_with_where_to_change_it(tmp_path: Path) -> None:
    with a_world(tmp_path, PAPER.model_copy(update={"read_only": True})) as world:
        with pytest.raises(SettingsError, match='clear "Read-Only API"'):
            world.broker.check_account("DU1234567", is_live=False)
        with pytest.raises(OutcomeUnknown, match="read-only"):
            world.broker.submit(an_order("x", Side.BUY))


def test_the_account_is_the_pinned_one(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.check_account("DU1234567", is_live=False)

        with pytest.raises(SettingsError, match="logged in to DU1234567, not to DU999"):
            world.broker.check_account("DU999", is_live=False)


def test_another_account_than_the_pinned_one_trades_nothing(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        broker = a_broker(world.rules.model_copy(update={"client_id": 5}), world.clock, tmp_path / "x", "DU999")

        with pytest.raises(OutcomeUnknown, match="not to DU999"):
            broker.submit(a_bracket())
        with pytest.raises(SettingsError, match="not to DU999"):
            broker.check_account("DU999", is_live=False)
        broker.close()


@pytest.mark.parametrize(("rules", "is_live"), [(PAPER, True), (LIVE, False)])
def test_a_live_account_in_a_paper_mode_is_refused_and_so_is_the_reverse(
    tmp_path: Path, rules: TwsDoorRules, is_live: bool
) -> None:
    with a_world(tmp_path, rules) as world, pytest.raises(SettingsError, match="choose another mode"):
        world.broker.check_account("", is_live=is_live)


def test_a_later_log_in_to_another_account_is_sent_nothing(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.check_account("", is_live=False)
        world.doors.door.account.name = "U7654321"
        world.doors.act("reset")
        until(lambda: world.broker.health().state is LinkState.REFUSED)

        with pytest.raises(OutcomeUnknown, match="now logged in to U7654321, and this process trades DU1234567"):
            world.broker.submit(a_bracket())
        assert list(world.doors.door.desk.orders) == []


def test_parts_of_a_bracket_are_withdrawn_only_once_the_account_is_judged(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.submit(a_bracket().entry)
        world.broker.close()
        ids = VenueIds(tmp_path / "ids.db")
        ids.register(a_bracket(), world.clock.now())  # as a process leaves it that dies between its socket calls
        ids.close()

        world.broker = a_broker(world.rules, world.clock, tmp_path)
        assert [one.client_order_id for one in world.broker.open_orders()] == ["b-e"]
        world.broker.check_account("", is_live=False)

        assert world.venue.open_orders() == ()


def test_the_exits_of_an_entry_nobody_shows_any_more_are_not_withdrawn(tmp_path: Path) -> None:
    """A bracket bought on an earlier day, taken over from the record into a file made anew."""
    with a_world(tmp_path) as world:
        world.broker.restore(())
        world.broker.submit(a_bracket())
        world.trade(99)
        world.broker.close()
        ids, sent = VenueIds(tmp_path / "anew" / "ids.db"), a_bracket()
        bought_earlier = replace(sent, entry=replace(sent.entry, client_order_id="earlier"))
        ids.register(bought_earlier, world.clock.now())
        ids.close()

        world.broker = a_broker(world.rules, world.clock, tmp_path / "anew")
        world.check_account()

        assert [one.client_order_id for one in world.broker.open_orders()] == ["b-s", "b-t"]
        assert len(world.venue.open_orders()) == 2


def test_an_account_kept_in_another_currency_is_refused_before_its_figures_are_taken_for_usd(tmp_path: Path) -> None:
    with a_world(tmp_path, PAPER.model_copy(update={"currency": "EUR"})) as world:
        with pytest.raises(SettingsError, match=r"DU1234567 come in EUR, .* base currency is USD"):
            world.broker.check_account("DU1234567", is_live=False)
        with pytest.raises(SettingsError, match="EUR"):
            world.broker.account()


def test_e43_attempts_to_connect_grow_rarer(tmp_path: Path) -> None:
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        rules = IbRules(port=server.getsockname()[1], timeout_seconds=5)
        broker = a_broker(rules, StandingClock(SESSION.opens_at), tmp_path)
        for _ in range(4):
            caller, _ = server.accept()
            came.append(time.monotonic())
            caller.close()
        broker.close()

    first, second, third = (after - before for before, after in pairwise(came))
    assert (first > 0.15, second > 0.35, third > 0.7) == (True, True, True)
