"""The venue on disk: it continues exactly where it was, whenever it was stopped."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings

from trading_pipeline.domain.errors import DataFileError, HomeInUseError, OrderRefused, SettingsError
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import ExecType, OrderType, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import (
    SESSION,
    a_bracket,
    an_oco,
    an_order,
    at,
    feed,
    flat,
    reports,
    trades,
)
from trading_pipeline_tests.venue.random_days import Step, days, play

RULES = VenueRules()
DAY = timedelta(days=1)
NEXT = SessionTimes(SESSION.session + DAY, SESSION.opens_at + DAY, SESSION.closes_at + DAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "venue.db"


@given(steps=days())
@settings(deadline=None, max_examples=10)
def test_a_venue_reopened_after_every_call_ends_like_one_that_never_stopped(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "venue.db"

        def reopen(venue: SimulatedVenue) -> SimulatedVenue:
            venue.close()
            return SimulatedVenue(path, RULES)

        stopped = play(SimulatedVenue(path, RULES), steps, reopen)
        never = play(SimulatedVenue(None, RULES), steps)

        assert list(reports(stopped)) == list(reports(never))
        assert (stopped.account(), stopped.positions()) == (never.account(), never.positions())
        assert stopped.open_orders() == never.open_orders()
        stopped.close()


TRADER = """
import sys
from pathlib import Path
from trading_pipeline_tests.venue.builders import a_bracket, at, flat
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules

venue = SimulatedVenue(Path(sys.argv[1]), VenueRules())
for n in range(100_000):
    venue.submit(a_bracket(f"b{n}", quantity=10), at(3 * n))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
    for minute, price in enumerate((99, 94, 93), 3 * n):
        venue.on_bars([flat(minute, price)], at(minute + 1))
"""


def test_kill_9_leaves_every_acknowledged_order_and_a_state_that_adds_up(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", TRADER, str(path)], stdout=subprocess.PIPE, text=True) as trader:
        assert trader.stdout is not None
        acknowledged = [trader.stdout.readline() for _ in range(9)]
        trader.kill()
    venue = SimulatedVenue(path, RULES)

    assert all(venue.order(f"b{number.strip()}-e") for number in acknowledged)
    assert books_balance(venue)
    last = sum(report.exec_type is ExecType.NEW for report in reports(venue)) // 3 - 1
    before = len(list(reports(venue)))
    venue.submit(a_bracket(f"b{last}", quantity=10), at(3 * last))  # resent after the crash: adopted, not doubled
    assert len(list(reports(venue))) == before
    feed(venue, *(flat(minute, price) for minute, price in enumerate((99, 94, 93), 3 * last)))
    assert (venue.positions(), venue.open_orders()) == ((), ())


def books_balance(venue: SimulatedVenue) -> bool:
    signs = {"e": -1, "s": 1, "t": 1}
    fills = [report for report in reports(venue) if report.exec_type is ExecType.TRADE]
    flow = sum(signs[f.client_order_id[-1]] * f.last_qty * f.last_px - f.commission for f in fills)
    shares = -sum(signs[f.client_order_id[-1]] * f.last_qty for f in fills)
    held = sum(position.quantity for position in venue.positions())
    return venue.account().cash_usd == RULES.initial_cash_usd + flow and shares == held


def test_a_bar_already_seen_is_remembered_across_a_restart(path: Path) -> None:
    first = SimulatedVenue(path, RULES)
    first.submit(a_bracket(quantity=100), at(0))
    feed(first, flat(0, 99, volume=400))
    first.close()

    second = SimulatedVenue(path, RULES)
    feed(second, flat(0, 99, volume=400))

    assert trades(second) == [("b-e", 40, "99.0495")]


def test_a_second_writer_is_noticed_and_changes_nothing(path: Path) -> None:
    one, other = SimulatedVenue(path, RULES), SimulatedVenue(path, RULES)
    one.submit(a_bracket("one"), at(0))

    with pytest.raises(HomeInUseError, match="another process"):
        other.submit(a_bracket("other"), at(0))

    assert other.open_orders() == ()
    assert len(SimulatedVenue(path, RULES).open_orders()) == 3


def test_a_new_account_takes_the_rules_cash_and_an_old_one_keeps_its_own(path: Path) -> None:
    SimulatedVenue(path, RULES).close()
    richer = RULES.model_copy(update={"initial_cash_usd": Decimal(5)})

    assert SimulatedVenue(path, richer).account().cash_usd == 100_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_an_order_without_numbers_is_refused_each_time_and_does_not_spoil_the_file(path: Path, number: str) -> None:
    for _ in range(2):
        venue = SimulatedVenue(path, RULES)
        order = an_order("x", Side.BUY, OrderType.LIMIT, limit=1)
        for bad in (replace(order, quantity=Decimal(number)), replace(order, limit_price=Decimal(number))):
            with pytest.raises(OrderRefused):
                venue.submit(bad, at(0))
        venue.close()

    assert SimulatedVenue(path, RULES).open_orders() == ()


def test_all_that_is_not_an_order_survives_too(path: Path) -> None:
    first = SimulatedVenue(path, VenueRules(account_type="cash", commission_schedule="ib_tiered"))
    first.on_session_open(SESSION, {}, {})
    first.submit(an_order("in", Side.BUY, OrderType.LIMIT, limit=100), at(0))
    feed(first, flat(0, 99))
    first.submit(an_order("out", Side.SELL, quantity=40), at(1))
    feed(first, flat(1, 99))
    first.submit(an_oco(quantity=60, life=TimeInForce.GTC), at(2))
    first.halt(Halt("AAA", at(3), at(4)))
    first.on_session_open(NEXT, {"AAA": Decimal(2)}, {"AAA": Decimal("0.1")})
    first.close()

    second = SimulatedVenue(path, first.rules)
    assert second.account() == first.account()
    assert second.open_orders() == first.open_orders()
    assert second.cash_activities(at(0)) == first.cash_activities(at(0)) != ()
    feed(second, flat(3, 1))
    assert len(second.open_orders()) == 2  # halted
    second.on_session_open(NEXT, {"AAA": Decimal(2)}, {"AAA": Decimal("0.1")})
    assert second.account().cash_usd == first.account().cash_usd


def test_what_is_sent_again_after_a_restart_is_recognised_whatever_it_was(path: Path) -> None:
    def send(venue: SimulatedVenue) -> list[str]:
        buy = an_order("buy", Side.BUY, OrderType.LIMIT, limit=100)
        ids = [venue.submit(buy, at(0))]
        feed(venue, flat(0, 99))
        stopped = replace(a_bracket("c"), target=None)
        return [*ids, *(venue.submit(request, at(1)) for request in (a_bracket("b"), stopped, an_oco()))]

    first = SimulatedVenue(path, RULES)
    ids = send(first)
    first.close()

    assert send(SimulatedVenue(path, RULES)) == ids


def test_another_account_name_is_refused(path: Path) -> None:
    SimulatedVenue(path, RULES).close()

    with pytest.raises(SettingsError, match="holds the account SIM, the settings name OTHER"):
        SimulatedVenue(path, RULES.model_copy(update={"account": "OTHER"}))


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"not a database" * 100), lambda p: p.mkdir()])
def test_a_file_that_is_no_venue_is_named(path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(path)

    with pytest.raises(DataFileError, match=r"venue\.db cannot be read") as told:
        SimulatedVenue(path, RULES)
    assert ("open a new account" in str(told.value)) is path.is_file()  # no advice where it is the disk


def test_calls_that_change_nothing_write_nothing(path: Path) -> None:
    venue = SimulatedVenue(path, RULES)
    venue.submit(a_bracket(), at(0))
    feed(venue, flat(0, 101))
    before = path.with_name("venue.db-wal").read_bytes()

    feed(venue, flat(0, 101))
    venue.on_bars([], at(5))
    venue.submit(a_bracket(), at(1))
    venue.account()

    assert path.with_name("venue.db-wal").read_bytes() == before
