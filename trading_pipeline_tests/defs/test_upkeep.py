"""The jobs of the night: what is missing is fetched from the vendor's door, and runs that others replaced go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from trading_pipeline.definitions import defs
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.adapters.market_data.doors import DataDoor, a_data_door
from trading_pipeline_tests.bar_builders import a_store
from trading_pipeline_tests.venue.builders import SESSION, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_day_bar, a_session

DAYS = [a_session(days).session for days in (-4, -1, 0)]
AN_HOUR_LATER = SESSION.closes_at + timedelta(hours=1)


@pytest.fixture
def door() -> Iterator[DataDoor]:
    """A vendor with three sessions of one index fund."""
    minutes = [flat(minute - 24 * 60 * shift, 50, symbol="SPY", volume=1000)
               for shift in (4, 1, 0) for minute in range(390)]  # fmt: skip
    tape = ListedTape(minutes, [a_day_bar(days, "50", symbol="SPY") for days in (-4, -1, 0)])
    with a_data_door(tape, now=AN_HOUR_LATER) as opened:
        yield opened


@pytest.fixture
def fetching(door: DataDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkspaceResource:
    """A home that fetches from the door."""
    rules = door.rules()
    told = {
        "AUTOMATION__HISTORY_PROVIDER": "alpaca", "BROKER__ALPACA__KEY_ID": rules.key_id.get_secret_value(),
        "BROKER__ALPACA__SECRET_KEY": rules.secret_key.get_secret_value(), "BROKER__ALPACA__FEED": rules.feed,
        "BROKER__ALPACA__DATA_URL": rules.data_url, "BROKER__ALPACA__DATA_REQUESTS_PER_MINUTE": "100000",
    }  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(f"TRADING_PIPELINE__{name}", value)
    return WorkspaceResource(home=str(tmp_path / "home"), now=AN_HOUR_LATER.isoformat())


def fetched(resource: WorkspaceResource) -> list[str]:
    """Runs the job; the sessions it says it has brought bars of."""
    job = defs.resolve_job_def("historical_bars_job")
    done = job.execute_in_process(resources={"workspace": resource})
    assert done.success
    told = [one.step_materialization_data.materialization for one in done.all_events if one.is_step_materialization]
    assert {one.asset_key.to_user_string() for one in told} <= {"raw_bars"}
    return sorted(f"{one.partition} {one.metadata['timeframe'].value}" for one in told)


def test_missing_bars_of_the_last_sessions_are_fetched_once(fetching: WorkspaceResource) -> None:
    first, again = fetched(fetching), fetched(fetching)

    assert first == sorted(f"{day} {frame}" for day in DAYS for frame in ("1d", "5min"))
    assert again == []
    bars = a_store(Path(fetching.home) / "bars").read(Timeframe.MIN5, DAYS)
    assert (len(bars), set(bars["symbol"])) == (3 * 78, {"SPY"})


def test_wrong_keys_fail_the_run_with_what_to_do(fetching: WorkspaceResource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY", "of-another-account")
    job = defs.resolve_job_def("historical_bars_job")

    done = job.execute_in_process(resources={"workspace": fetching}, raise_on_error=False)

    (failure,) = [one.step_failure_data for one in done.all_events if one.is_step_failure]
    assert not done.success
    assert "Alpaca refuses the keys" in str(failure.error_display_string)


@dg.op(config_schema={"fails": bool})
def work(context) -> None:  # type: ignore[no-untyped-def]
    if context.op_config["fails"]:
        raise ValueError("not today")


@dg.job(executor_def=dg.in_process_executor)
def daily_job() -> None:
    work()


def ran(instance: dg.DagsterInstance, session: str = "", *, fails: bool = False) -> str:
    tags = {"session": session} if session else {}
    config = {"ops": {"work": {"config": {"fails": fails}}}}
    return daily_job.execute_in_process(
        run_config=config, tags=tags, instance=instance, raise_on_error=False
    ).run_id  # fmt: skip


def test_old_runs_go_once_a_later_one_of_their_session_has_succeeded(tmp_path: Path) -> None:
    later = (datetime.now(UTC) + timedelta(days=91)).isoformat()
    with dg.DagsterInstance.ephemeral() as instance:
        replaced = {ran(instance, "2025-06-10"), ran(instance, "2025-06-10", fails=True)}
        kept = {
            ran(instance, "2025-06-10"), ran(instance, "2025-06-10", fails=True), ran(instance),
            ran(instance, "2025-06-11", fails=True), ran(instance, "2025-06-12"),
        }  # fmt: skip
        job = defs.resolve_job_def("retention_job")
        for now in (datetime.now(UTC).isoformat(), later):
            before = {one.run_id for one in instance.get_runs()}
            done = job.execute_in_process(
                instance=instance, resources={"workspace": WorkspaceResource(home=str(tmp_path / "home"), now=now)}
            )
            gone = before - {one.run_id for one in instance.get_runs()}
            assert (done.success, gone) == (True, replaced if now == later else set())
        assert kept <= {one.run_id for one in instance.get_runs()}
