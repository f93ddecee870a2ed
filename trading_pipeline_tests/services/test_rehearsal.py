"""The verdict over a rehearsal: clean when record and venue agree; each way of differing has a check that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.orders import ExecType, ExecutionReport
from trading_pipeline.domain.rehearsal import Disturbances, VenueEye, Verdict
from trading_pipeline.ports import Broker, Ledger, VenueAccount
from trading_pipeline.services.rehearsal import judge
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]

SEES_NOTHING = VenueEye(longest_gap_seconds=0.0, gaps=(), faults={"drop_reply": 3})


class Rehearsed:
    """A traded home and the venue it traded at."""

    def __init__(self, made: TradedHome, ledger: Ledger, venue: Broker) -> None:
        self.made, self.ledger, self.venue = made, ledger, venue

    def verdict(self, venue: Broker | None = None, eye: VenueEye = SEES_NOTHING) -> Verdict:
        done = {day: Disturbances(kills=1, restarts=2) for day in self.made.traded}
        return judge(self.ledger, venue or self.venue, eye, "SIM", done, "alpaca")


@pytest.fixture
def rehearsed(traded_home: TradedHome, tmp_path: Path) -> Iterator[Rehearsed]:
    made = traded_home.copied_to(tmp_path)
    workspace = made.open()
    with closing(workspace.room()) as room:
        desk = room.desk(workspace.calendar.times(made.traded[-1]).closes_at, 5)
        yield Rehearsed(made, workspace.ledger, desk.broker)


def broken(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.holds]


def test_a_record_that_agrees_with_its_venue_is_clean(rehearsed: Rehearsed) -> None:
    verdict = rehearsed.verdict()

    assert broken(verdict) == []
    assert verdict.is_clean
    assert [one.session for one in verdict.sessions] == list(rehearsed.made.traded)
    assert sum(one.fills for one in verdict.sessions) > 0
    assert {(one.kills, one.restarts) for one in verdict.sessions} == {(1, 2)}
    assert verdict.faults == {"drop_reply": 3}


def test_an_execution_of_the_venue_that_is_not_on_record_is_a_lost_fill(rehearsed: Rehearsed) -> None:
    with rehearsed.ledger.read() as tx:
        fill = tx.fills("SIM")[0]
    twice = SaysOneTwice(rehearsed.venue, plainly)
    twice.twice = fill.client_order_id

    verdict = rehearsed.verdict(twice)

    assert broken(verdict) == ["no fill lost"]
    (lost,) = [check for check in verdict.checks if not check.holds]
    assert fill.symbol in lost.measured


class SaysOneTwice(Wrapped):
    """Tells reports as if one order's first fill had been executed twice."""

    twice = ""

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        told = self.broker.execution_reports(since)
        again = next(r for r in told if r.client_order_id == self.twice and r.exec_type is ExecType.TRADE)
        return (*told, replace(again, exec_id="again"))


class IsACentRicher(Wrapped):
    """Its cash is a cent more than it should be."""

    def account(self) -> VenueAccount:
        told = self.broker.account()
        return replace(told, cash_usd=told.cash_usd + Decimal("0.01"))


def plainly(_name: str, call: Callable[[], object]) -> object:
    return call()


def test_a_fill_on_record_that_the_venue_never_made_is_told(rehearsed: Rehearsed) -> None:
    with rehearsed.ledger.transaction() as tx:
        fill = tx.fills("SIM")[0]
        tx.add_fill(replace(fill, exec_id="invented"))

    assert "no fill doubled or invented" in broken(rehearsed.verdict())


def test_a_session_left_open_and_cash_that_differs_are_told(rehearsed: Rehearsed) -> None:
    made = rehearsed.made
    richer = IsACentRicher(rehearsed.venue, plainly)
    done = {day: Disturbances() for day in (*made.traded, made.running)}

    verdict = judge(rehearsed.ledger, richer, SEES_NOTHING, "SIM", done, "ib")

    assert broken(verdict) == ["every session ran to its close", "cash agrees to the cent"]
    assert f"{made.running} is never started" in verdict.checks[0].measured


@pytest.mark.parametrize(("seconds", "holds"), [(10.0, True), (10.5, False)])
def test_a_gap_in_protection_may_last_ten_seconds(rehearsed: Rehearsed, seconds: float, holds: bool) -> None:
    eye = VenueEye(longest_gap_seconds=seconds, gaps=("100 AAA for a while",), faults={})

    verdict = rehearsed.verdict(eye=eye)

    assert verdict.is_clean is holds


def test_sessions_never_begun_have_no_verdict(rehearsed: Rehearsed) -> None:
    with pytest.raises(MissingResultError, match="none of the 1"):
        judge(
            rehearsed.ledger, rehearsed.venue, SEES_NOTHING, "SIM", {rehearsed.made.running: Disturbances()}, "ib"
        )  # fmt: skip
