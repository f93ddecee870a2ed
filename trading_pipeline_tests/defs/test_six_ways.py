"""A job run again, in parallel, retried, backfilled, resumed after a crash, or after it was cancelled: no order more.

Runs are made in a real instance and executed as a run worker does, or past Dagster's own look at the run's status, as
a queue was seen to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_plan, execute_run, execute_run_iterator

from trading_pipeline.cli.launch import run_range
from trading_pipeline.definitions import defs
from trading_pipeline.defs.instance import local_instance
from trading_pipeline.defs.periods import first_of_week
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.sensors import new_watchlist_sensor
from trading_pipeline_tests.traded_home import (
    TradedHome,
    at_first_picks,
    at_noon,
    before_the_open,
    interrupted,
)

ACTS = ("intents", "orders", "execution_reports", "fills", "trades", "trade_plans", "risk_decisions")
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Bench:
    """A home and its instance, at an instant of the running session."""

    made: TradedHome
    instance: dg.DagsterInstance
    job: str
    now: datetime

    @property
    def definition(self) -> dg.JobDefinition:
        return defs.resolve_job_def(self.job)

    def new_run(
        self,
        *,
        now: datetime | None = None,
        status: dg.DagsterRunStatus | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.DagsterRun:
        where = {"home": str(self.made.home), "profile": str(self.made.profile)}
        config = {"resources": {"workspace": {"config": {**where, "now": (now or self.now).isoformat()}}}}
        plan = create_execution_plan(self.definition, config)
        return self.instance.create_run_for_job(
            self.definition, plan, run_config=config, tags=tags or {}, status=status
        )

    def work(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """Execute it as a run worker would."""
        execute_run(InMemoryJob(self.definition), run, self.instance)
        return self.status(run)

    def work_regardless(self, run: dg.DagsterRun) -> list[str]:
        """Execute its steps without a look at its status, as a worker does that was launched before it was cancelled.

        Returns what failed.
        """
        job = InMemoryJob(self.definition)
        events = execute_plan(create_execution_plan(job, run.run_config), job, self.instance, run, run.run_config)
        return [str(event.step_failure_data.error) for event in events if event.is_step_failure]

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def said(self, run: dg.DagsterRun) -> str:
        """What the run logged."""
        return "\n".join(entry.user_message for entry in self.instance.all_logs(run.run_id))

    def acts(self) -> dict[str, int]:
        """How many of each thing that acts are on record."""
        with self.made.open().ledger.read() as tx:
            counts = tx.row_counts()
        return {name: count for name, count in counts.items() if name in ACTS}


@pytest.fixture(scope="module")
def opened(deciding_home: TradedHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The execution job, a minute after the first watchlist with picks; nothing has been decided."""
    made = deciding_home.copied_to(tmp_path_factory.mktemp("six-ways"))
    with local_instance(made.home) as instance:
        yield Bench(made, instance, "execution_job", at_first_picks(made))


@pytest.fixture(scope="module")
def untouched(opened: Bench) -> dict[str, int]:
    return opened.acts()


@pytest.fixture(scope="module")
def decided(opened: Bench, untouched: dict[str, int]) -> Bench:
    """After the one run that decides."""
    run = opened.new_run()
    assert opened.work(run) is dg.DagsterRunStatus.SUCCESS
    assert "1 planned, 1 approved" in opened.said(run)
    assert opened.acts()["orders"] == untouched["orders"] + 3
    return opened


# before the one run that decides


@pytest.mark.parametrize("how", ["was cancelled", "has failed", "is being cancelled"])
def test_a_run_that_was_over_before_it_began_does_nothing(opened: Bench, untouched: dict[str, int], how: str) -> None:
    end = {
        "was cancelled": opened.instance.report_run_canceled,
        "has failed": opened.instance.report_run_failed,
        "is being cancelled": opened.instance.report_run_canceling,
    }[how]  # fmt: skip
    late, later = opened.new_run(), opened.new_run()
    end(late)
    end(later)

    opened.work(late)  # its worker was launched before: it starts, and sets the run's status back to STARTED
    failed = opened.work_regardless(later)

    assert f"{how} and does nothing any more" in "".join(failed)
    assert opened.status(late) is dg.DagsterRunStatus.FAILURE
    assert opened.acts() == untouched


def test_a_run_that_waited_until_its_watchlist_was_old_does_nothing(opened: Bench, untouched: dict[str, int]) -> None:
    close = opened.made.open().calendar.times(opened.made.running).closes_at
    run = opened.new_run(now=close + timedelta(minutes=25))

    assert opened.work(run) is dg.DagsterRunStatus.SUCCESS
    assert "nothing decided: the newest watchlist snapshot" in opened.said(run)
    assert opened.acts() == untouched


def test_a_run_made_for_another_session_does_nothing(opened: Bench, untouched: dict[str, int]) -> None:
    run = opened.new_run(tags={"session": opened.made.traded[0].isoformat()})

    assert opened.work(run) is dg.DagsterRunStatus.SUCCESS
    assert "nothing done: the run was made for session" in opened.said(run)
    assert opened.acts() == untouched


@pytest.mark.parametrize(
    ("missing", "words"),
    [("research/universe/*{}*", "universe.complete"), ("bars/5min/*{}*", "bars.freshness: no bars at all")],
)
def test_what_failed_its_check_is_not_decided_on(
    opened: Bench, untouched: dict[str, int], missing: str, words: str
) -> None:
    moved = list(opened.made.home.glob(missing.format(opened.made.running)))
    assert moved
    for path in moved:
        path.rename(opened.made.home / f"away-{path.name}")
    runs = [opened.new_run(), opened.new_run()]

    done = [opened.work(run) for run in runs]

    for path in moved:
        (opened.made.home / f"away-{path.name}").rename(path)
    assert set(done) == {dg.DagsterRunStatus.SUCCESS}
    assert all(f"nothing decided: {words}" in opened.said(run) for run in runs)
    assert opened.acts() == untouched
    with opened.made.open().ledger.read() as tx:
        alerts = [alert.message for alert in tx.alerts("SIM", opened.made.running) if alert.kind == "data_issue"]
    assert len([message for message in alerts if words in message]) == 1


# after it


def test_again(decided: Bench) -> None:
    before, run = decided.acts(), decided.new_run()

    assert decided.work(run) is dg.DagsterRunStatus.SUCCESS
    assert "0 planned" in decided.said(run)
    assert decided.acts() == before


def test_in_parallel(decided: Bench) -> None:
    before, together = decided.acts(), Barrier(4)

    def work(_number: int) -> bool:  # each with an instance of its own: one process captures the output of one run only
        with dg.DagsterInstance.ephemeral() as instance:
            bench = replace(decided, instance=instance)
            run = bench.new_run()
            together.wait(60)
            return bench.work(run) is dg.DagsterRunStatus.SUCCESS

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert decided.acts() == before


def test_retried(decided: Bench) -> None:
    before, first = decided.acts(), decided.new_run()
    decided.instance.report_run_failed(first)
    lineage = {"dagster/parent_run_id": first.run_id, "dagster/root_run_id": first.run_id, "dagster/retry_number": "1"}

    assert decided.work(decided.new_run(tags=lineage)) is dg.DagsterRunStatus.SUCCESS
    assert decided.acts() == before


def test_resumed_after_a_crash(decided: Bench) -> None:
    before, run = decided.acts(), decided.new_run(status=dg.DagsterRunStatus.STARTED)

    resumed = execute_run_iterator(InMemoryJob(decided.definition), run, decided.instance, resume_from_failure=True)

    assert list(resumed)
    assert decided.status(run) is dg.DagsterRunStatus.SUCCESS
    assert decided.acts() == before


def test_a_backfill_of_research_starts_no_decision(decided: Bench) -> None:
    before, made = decided.acts(), decided.made
    first, last = made.traded

    run_range(made.open(), "research_job", first, last)

    next_day = made.open().calendar.times(made.open().calendar.next(made.running)).opens_at + timedelta(hours=1)
    resource = WorkspaceResource(home=str(made.home), profile=str(made.profile), now=next_day.isoformat())
    found = new_watchlist_sensor(dg.build_sensor_context(resources={"workspace": resource}))
    assert isinstance(found, dg.SkipReason)
    assert decided.acts() == before
    assert decided.definition.partitions_def is None  # so it cannot itself be backfilled


# the session's loop, and every other job


@pytest.mark.soak
def test_a_session_hosted_in_every_way_has_the_orders_of_one_hosted_once(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    (tmp_path / "once").mkdir()
    once, many = traded_home.copied_to(tmp_path / "once"), traded_home.copied_to(tmp_path)
    opening, noon = before_the_open(many), at_noon(many)
    with dg.DagsterInstance.ephemeral() as instance:
        alone = Bench(once, instance, "position_monitoring_job", opening)
        assert alone.work(alone.new_run()) is dg.DagsterRunStatus.SUCCESS

    with local_instance(many.home) as instance:
        bench = Bench(many, instance, "position_monitoring_job", opening)
        untouched, cancelled = bench.acts(), bench.new_run()
        instance.report_run_canceled(cancelled)
        assert "was cancelled" in "".join(bench.work_regardless(cancelled))
        assert bench.acts() == untouched
        interrupted(many)  # a crash at noon
        hosted = [host_beside(replace(bench, now=noon)) for _ in (1, 2)]
        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(lambda work: work(), hosted))
        after = replace(bench, now=noon + timedelta(minutes=5))
        for status in (None, dg.DagsterRunStatus.STARTED):
            run = after.new_run(status=status, tags={"dagster/retry_number": "1"})
            list(
                execute_run_iterator(
                    InMemoryJob(bench.definition), run, instance, resume_from_failure=status is not None
                )
            )
            assert bench.status(run) is dg.DagsterRunStatus.SUCCESS
        assert bench.acts() == alone.acts()
        assert bench.acts()["orders"] > untouched["orders"]


def host_beside(bench: Bench) -> Callable[[], bool]:
    """A run in an instance of its own, beside others of the same home."""

    def work() -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            mine = replace(bench, instance=instance)
            return mine.work(mine.new_run()) is dg.DagsterRunStatus.SUCCESS

    return work


@pytest.mark.soak
@pytest.mark.parametrize(
    "job", ["universe_job", "research_job", "performance_report_job", "weekly_report_job", "retention_job"]
)
def test_no_other_job_acts_in_any_way(decided: Bench, job: str) -> None:
    before, made = decided.acts(), decided.made
    keys = {"weekly_report_job": first_of_week(made.traded[-1]).isoformat(), "retention_job": None}
    where = {"home": str(made.home), "profile": str(made.profile), "now": ""}
    config = {"resources": {"workspace": {"config": where}}}

    for tags in ({}, {}, {"dagster/retry_number": "1"}):
        done = defs.resolve_job_def(job).execute_in_process(
            instance=decided.instance, run_config=config, tags=tags,
            partition_key=keys.get(job, made.traded[-1].isoformat()),
        )  # fmt: skip
        assert done.success

    assert decided.acts() == before
