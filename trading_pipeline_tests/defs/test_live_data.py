"""The stream as a run: what it tells Dagster, and when whoever sees that it lives starts it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.cli.programs import MEANING, Plan
from trading_pipeline.defs.live_data import RECORDING, SILENCE, stream_supervisor_sensor
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.stream_reports import StreamReports
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services.fetch import FetchReport
from trading_pipeline.services.live_bars import LiveCounts
from trading_pipeline.services.research_desk import DAILY
from trading_pipeline.settings import Settings, load_settings
from trading_pipeline.wiring import SECTORS, Workspace
from trading_pipeline.wiring.health import STREAM_STATUS
from trading_pipeline.wiring.market_data import StreamStatus, furnish, history
from trading_pipeline_tests.test_docs import ROOT

PROFILE = ROOT / "config" / "profiles" / "around-the-clock.yaml"
SESSION = date(2026, 1, 3)  # a Saturday
NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)
SMALL = {
    "TRADING_PIPELINE__LIVE__SYNTHETIC__SYMBOLS": "8", "TRADING_PIPELINE__HISTORY__DAILY_SESSIONS": "61",
}  # fmt: skip


def a_home(folder: Path, now: datetime = NOON) -> Workspace:
    return Workspace(folder, load_settings(profile=PROFILE, environ=SMALL), clock=FixedClock(now))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Sequence[FetchReport]]]:
    """A home that was empty, and what was fetched into it."""
    home = a_home(tmp_path_factory.mktemp("furnished"))
    with history(home, "synthetic") as source:
        yield home, furnish(home, source, SESSION)  # type: ignore[arg-type]


def test_an_empty_home_is_given_the_past_that_research_looks_back_on(
    furnished: tuple[Workspace, Sequence[FetchReport]],
) -> None:
    home, (daily, minutes) = furnished

    assert len(daily.sessions) == home.settings.history.daily_sessions == 61
    assert {"SPY", "VIX"} <= daily.symbols
    assert sorted(minutes.sessions) == [SESSION - timedelta(days=number) for number in (5, 4, 3, 2, 1)]
    assert home.bars.sessions(DAILY)[-1] == home.bars.sessions(Timeframe.MIN1)[-1] == SESSION - timedelta(days=1)
    assert (home.home / SECTORS).read_text(encoding="utf-8").count("\n") == 9


def test_what_is_there_is_not_fetched_again_and_the_next_day_only_the_day_between(
    furnished: tuple[Workspace, Sequence[FetchReport]],
) -> None:
    home, _ = furnished
    tomorrow = Workspace(home.home, home.settings, clock=FixedClock(NOON + timedelta(days=1)))

    with history(home, "synthetic") as source:
        again = furnish(home, source, SESSION)  # type: ignore[arg-type]
    with history(tomorrow, "synthetic") as source:
        later = furnish(tomorrow, source, SESSION + timedelta(days=1))  # type: ignore[arg-type]

    assert [report.asked for report in again] == [0, 0]
    assert [sorted(report.sessions) for report in later] == [[SESSION], [SESSION]]


@dataclass
class Told:
    """What Dagster would have been told."""

    made: list[dg.AssetMaterialization] = field(default_factory=list)

    def names(self) -> list[str]:
        return [one.asset_key.to_user_string() for one in self.made]


def a_status(minute: int, new: int = 10, session: date = SESSION) -> StreamStatus:
    at = NOON + timedelta(minutes=minute)
    return StreamStatus(
        provider="synthetic", feed="synthetic", session=session, symbols=11, at=at, closed_until=at, is_connected=True,
        is_stale=False, counts=LiveCounts(new=new), snapshots=0, newest_snapshot=None, problem="",
    )  # fmt: skip


def test_each_stored_minute_is_told_of_once_and_what_did_not_change_not_again(tmp_path: Path) -> None:
    told = Told()
    reports = StreamReports(told.made.append, a_home(tmp_path))

    for status in (a_status(0), a_status(0, new=12), a_status(1, new=20), a_status(1, new=20)):
        reports.tell(status)

    assert told.names() == ["raw_bars", "bars"] * 2
    assert {one.partition for one in told.made} == {SESSION.isoformat()}
    assert [one.metadata["dagster/row_count"].value for one in told.made[::2]] == [10, 20]


def looked(home: Path, now: datetime, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """What the supervisor does at an instant: the run it asks for, or why none."""
    resource = WorkspaceResource(home=str(home), profile=str(PROFILE), now=now.isoformat())
    context = dg.build_sensor_context(instance=instance, resources={"workspace": resource})
    found = stream_supervisor_sensor(context)
    if isinstance(found, dg.SkipReason):
        return str(found.skip_message)
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or ()
    return request


def says_it_lives(home: Path, at: datetime, session: date) -> None:
    told = {"session": session.isoformat(), "at": at.isoformat(), "closed_until": at.isoformat(),
            "is_connected": True, "is_stale": False, "problem": ""}  # fmt: skip
    (home / STREAM_STATUS).write_text(json.dumps(told), encoding="utf-8")


def test_a_stream_that_nobody_records_is_started_and_one_that_lives_is_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekday = datetime(2026, 1, 6, 15, tzinfo=UTC)  # both calendars have a session
    with dg.DagsterInstance.ephemeral() as instance:
        first = looked(tmp_path, weekday, instance)
        says_it_lives(tmp_path, weekday, weekday.date())
        alive = looked(tmp_path, weekday + SILENCE - timedelta(seconds=1), instance)
        silent = looked(tmp_path, weekday + SILENCE, instance)

    assert isinstance(first, dg.RunRequest)
    assert first.tags["session"] == "2026-01-06"
    assert "the recorder leads until" in str(alive)
    assert isinstance(silent, dg.RunRequest)
    assert first.run_key == silent.run_key == "market-data-2026-01-06-1"  # no run of the first was seen


def test_a_run_whose_recorder_is_dead_is_given_up_and_followed(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.DagsterRun(job_name=RECORDING, status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        now = instance.get_run_records()[0].create_timestamp
        opened = ExchangeCalendar().times(ExchangeCalendar().session_of(now + timedelta(days=1))).opens_at
        instance.add_run_tags(run.run_id, {"session": opened.date().isoformat()})
        says_it_lives(tmp_path, opened, opened.date())
        dead = looked(tmp_path, opened + timedelta(hours=1), instance)
        after = instance.get_run_by_id(run.run_id)

    assert isinstance(dead, dg.RunRequest)
    assert dead.run_key == f"market-data-{opened.date()}-2"
    assert after is not None
    assert after.status is dg.DagsterRunStatus.FAILURE


def test_without_a_stream_in_the_settings_nothing_is_started(tmp_path: Path) -> None:
    plain = WorkspaceResource(home=str(tmp_path), now=datetime(2026, 1, 6, 15, tzinfo=UTC).isoformat())
    with dg.DagsterInstance.ephemeral() as instance:
        found = stream_supervisor_sensor(dg.build_sensor_context(instance=instance, resources={"workspace": plain}))

    assert isinstance(found, dg.SkipReason)
    assert "live.provider: none" in str(found.skip_message)


@pytest.mark.parametrize(
    ("host", "provider"), [("service", "synthetic"), ("service", "none"), ("dagster", "synthetic")]
)
def test_up_keeps_the_stream_alive_itself_where_the_loop_is_a_service(tmp_path: Path, host: str, provider: str) -> None:
    settings = Settings.model_validate({"monitor": {"host": host}, "live": {"provider": provider}})

    programs = {one.name: one for one in Plan(home=tmp_path, settings=settings, port=1, automation=True).programs()}

    assert ("stream" in programs) is ((host, provider) == ("service", "synthetic"))
    assert set(programs) <= set(MEANING)
    if "stream" in programs:
        assert programs["stream"].command[-3:] == ("--provider", "synthetic", "--every-session")
