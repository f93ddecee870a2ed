"""The asset graph, checks, jobs, schedules and sensors as a whole, pinned in a text file that a review can read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from trading_pipeline.definitions import defs
from trading_pipeline.defs.instance import ROOT

SNAPSHOT = Path(__file__).with_name("definitions.txt")
REGENERATE = "REGENERATE_SNAPSHOTS"
OF_NO_SESSION = {"system_health"}
EXTERNAL = {"raw_bars", "trade_decisions", "orders", "fills", "positions", "trades"}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def asset_graph() -> Iterator[str]:
    executable = defs.resolve_asset_graph().executable_asset_keys
    for name, spec in sorted(specs().items()):
        deps = ", ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps)) or "-"
        who = "executable" if spec.key in executable else "external"
        cron = getattr(spec.partitions_def, "cron_schedule", "-")
        yield f"asset {name} ({who}) <- {deps}"
        yield f"  group {spec.group_name}; kinds {', '.join(sorted(spec.kinds))}; {', '.join(spec.owners)}; {cron}"


def automation() -> Iterator[str]:
    checks = (spec for group in defs.asset_checks or () for spec in group.check_specs)
    for check in sorted(checks, key=lambda spec: (spec.asset_key.to_user_string(), spec.name)):
        yield f"check {check.asset_key.to_user_string()}.{check.name}" + (" (blocking)" if check.blocking else "")
    for job in sorted(defs.resolve_all_job_defs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            yield f"job {job.name}: {', '.join(sorted(node.name for node in job.nodes))}"
    for schedule in sorted(defs.schedules or (), key=lambda one: one.name):
        assert isinstance(schedule, dg.ScheduleDefinition)
        lines = [schedule.cron_schedule] if isinstance(schedule.cron_schedule, str) else schedule.cron_schedule
        when = f"{' | '.join(lines)} {schedule.execution_timezone}"
        yield f"schedule {schedule.name}: {schedule.job_name} at {when}, {schedule.default_status.value}"
    for sensor in sorted(defs.sensors or (), key=lambda one: one.name):
        every = f"every {sensor.minimum_interval_seconds} s"
        jobs = ", ".join(target.job_name for target in sensor.targets) or "no run"
        yield f"sensor {sensor.name}: {jobs} {every}, {sensor.default_status.value}"


def test_the_definitions_are_the_ones_on_file() -> None:
    found = "\n".join([*asset_graph(), *automation()]) + "\n"
    if os.environ.get(REGENERATE):
        SNAPSHOT.write_text(found, encoding="utf-8")

    assert found == SNAPSHOT.read_text(encoding="utf-8"), f"looks right? then {REGENERATE}=1 pytest {__file__}"


@pytest.mark.parametrize("name", sorted(specs()))
def test_every_asset_says_what_it_is_whose_it_is_and_how_it_is_kept(name: str) -> None:
    spec = specs()[name]

    assert spec.description
    assert spec.owners
    assert spec.kinds
    assert spec.group_name not in {None, "default"}
    assert isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition) or name in OF_NO_SESSION


def test_what_the_loop_writes_can_never_be_materialised_from_the_ui() -> None:
    graph = defs.resolve_asset_graph()

    assert {key.to_user_string() for key in graph.external_asset_keys} == EXTERNAL
    for job in defs.resolve_all_job_defs():
        assert not {key.to_user_string() for key in job.asset_layer.executable_asset_keys} & EXTERNAL


def test_the_report_descends_from_the_bars() -> None:
    graph, seen, todo = defs.resolve_asset_graph(), set[str](), [dg.AssetKey("performance_report")]
    while todo:
        parents = graph.get(todo.pop()).parent_keys
        todo += [key for key in parents if key.to_user_string() not in seen]
        seen |= {key.to_user_string() for key in parents}

    assert seen == set(specs()) - {"performance_report", "weekly_report", "monthly_report"} - OF_NO_SESSION


@pytest.mark.slow
def test_one_setting_turns_everything_automatic_on() -> None:
    code = (
        "from trading_pipeline.definitions import defs; "
        "print(*(one.name for one in [*defs.schedules, *defs.sensors] if one.default_status.value != 'RUNNING'))"
    )
    environment = {**os.environ, "TRADING_PIPELINE__AUTOMATION__ENABLED": "true"}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)

    # but for what the default settings leave nothing to do: no stream, no external signals, no vendor
    assert done.stdout.split() == ["market_data_schedule", "rebalancing_schedule", "historical_bars_schedule"], (
        done.stderr
    )


def test_everything_automatic_is_off_until_a_person_turns_it_on() -> None:
    for schedule in defs.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    for sensor in defs.sensors or ():
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


def test_jobs_that_act_with_money_are_never_retried() -> None:
    for name in ("session_replay_job", "position_monitoring_job", "execution_job"):
        assert defs.resolve_job_def(name).tags["dagster/max_retries"] == "0"
        assert all(node.retry_policy is None for node in defs.resolve_job_def(name).nodes_in_topological_order)


@pytest.mark.slow
@pytest.mark.parametrize("has_home", [pytest.param(True, marks=pytest.mark.soak), False])
def test_dagster_validates_the_project_from_its_root_without_a_warning(tmp_path: Path, has_home: bool) -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    environment.pop("DAGSTER_HOME", None)
    environment |= {"DAGSTER_HOME": str(tmp_path)} if has_home else {}
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful" in done.stdout + done.stderr
    assert "trading_pipeline" not in "".join(line for line in done.stderr.splitlines() if "Warning" in line)
