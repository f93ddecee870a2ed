"""The jobs, run through a real Dagster instance on a small market: what they record, and that nothing doubles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from trading_pipeline.cli.launch import run_range, run_replay
from trading_pipeline.definitions import defs
from trading_pipeline.defs.instance import local_instance
from trading_pipeline.defs.periods import first_of_month, first_of_week
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.services.checks import CHECKS
from trading_pipeline_tests.ledger_counts import rows_but_leadership
from trading_pipeline_tests.traded_home import TradedHome

RESEARCH = ("universe", "bars", "indicators", "coarse_screen", "regime_score", "sabr20_watchlist")
TRADING = ("trade_decisions", "orders", "fills", "positions", "trades")
REPORTS = ("daily_performance", "performance_report")


@pytest.fixture
def instance(traded_home: TradedHome) -> Iterator[dg.DagsterInstance]:
    with local_instance(traded_home.home) as opened:
        yield opened


def materialised(instance: dg.DagsterInstance, asset: str) -> dict[str, dg.AssetMaterialization]:
    """Newest materialisation by partition."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=200).records
    found = [record.asset_materialization for record in reversed(records)]
    return {one.partition: one for one in found if one is not None and one.partition is not None}


def evaluations(instance: dg.DagsterInstance, asset: str, check: str) -> dict[str, bool]:
    """Newest answer of a check by partition."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    events = [record.event.dagster_event for record in reversed(history) if record.event]
    answers = [event.event_specific_data for event in events if event]
    return {str(one.partition): one.passed for one in answers if isinstance(one, dg.AssetCheckEvaluation)}


@pytest.mark.parametrize("asset", [*RESEARCH, *TRADING, *REPORTS])
def test_every_session_has_a_materialisation_with_its_row_count(
    traded_home: TradedHome, instance: dg.DagsterInstance, asset: str
) -> None:
    sessions = [*traded_home.traded, *([traded_home.running] if asset in RESEARCH else [])]

    found = materialised(instance, asset)

    assert sorted(found) == [session.isoformat() for session in sessions]
    for one in found.values():
        rows = one.metadata["dagster/row_count"].value
        assert isinstance(rows, int)
        assert rows > 0 or asset in {*TRADING, "performance_report", "daily_performance"}


@pytest.mark.parametrize("asset", [*RESEARCH, *TRADING, *REPORTS, "raw_bars"])
def test_every_asset_shows_its_columns(traded_home: TradedHome, instance: dg.DagsterInstance, asset: str) -> None:
    spec = next(spec for spec in defs.resolve_all_asset_specs() if spec.key == dg.AssetKey(asset))
    shown = [one.metadata for one in materialised(instance, asset).values()]

    assert "dagster/column_schema" in spec.metadata or all("dagster/column_schema" in one for one in shown)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.asset}.{check.name}")
def test_every_check_passed_and_is_recorded_under_each_session(
    traded_home: TradedHome, instance: dg.DagsterInstance, check: object
) -> None:
    sessions = {session.isoformat() for session in traded_home.traded}
    asset, name = (getattr(check, part) for part in ("asset", "name"))

    found = evaluations(instance, asset, name)

    assert sessions <= set(found)
    assert all(found[session] for session in sessions)


def test_trades_happened_so_that_these_tests_are_about_something(traded_home: TradedHome) -> None:
    with traded_home.open().ledger.read() as tx:
        assert tx.row_counts()["fills"] > 0


def test_running_everything_again_adds_no_row_and_verifies_the_record(traded_home: TradedHome, tmp_path: Path) -> None:
    copy = traded_home.copied_to(tmp_path)
    workspace, (first, last) = copy.open(), copy.traded
    with workspace.ledger.read() as tx:
        before, records = rows_but_leadership(tx), tx.session_records("SIM")

    run_range(workspace, "research_job", first, last)
    run_replay(workspace, first, last)
    run_range(workspace, "performance_report_job", first, last)

    with workspace.ledger.read() as tx:
        assert rows_but_leadership(tx) == before
        assert tx.session_records("SIM") == records


def test_the_week_and_the_month_are_reported_from_the_record_however_often(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    copy = traded_home.copied_to(tmp_path)
    first, last = copy.traded
    keys = {"weekly": first_of_week(last).isoformat(), "monthly": first_of_month(last).isoformat()}

    def report() -> list[bytes]:
        for name, key in keys.items():
            job = defs.resolve_job_def(f"{name}_report_job")
            assert job.execute_in_process(partition_key=key, resources=resources(copy)).success
        return [(copy.home / "reports" / f"SIM-{name}-{key}.html").read_bytes() for name, key in keys.items()]

    once, again = report(), report()

    assert once == again
    assert all(day.isoformat().encode() in once[1] for day in (first, last))


def test_one_session_can_be_materialised_with_its_checks_as_the_ui_does(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    copy = traded_home.copied_to(tmp_path)
    one = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey("universe")},
        asset_check_selection={dg.AssetCheckKey(dg.AssetKey("universe"), "complete")},
    )

    done = one.execute_in_process(partition_key=copy.traded[0].isoformat(), resources=resources(copy))

    assert done.success
    assert [(answer.check_name, answer.passed) for answer in done.get_asset_check_evaluations()][-1] == (
        "complete",
        True,
    )


def test_a_failed_blocking_check_is_seen_and_ends_a_run_of_one_session(traded_home: TradedHome, tmp_path: Path) -> None:
    copy = traded_home.copied_to(tmp_path)
    strict = tmp_path / "strict.yaml"
    strict.write_text("universe: {min_price_usd: 100000, max_price_usd: 1000000}\n", encoding="utf-8")
    job, key = defs.resolve_job_def("research_job"), copy.traded[0].isoformat()

    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):  # the second time as well
            done = job.execute_in_process(
                instance=instance, partition_key=key, resources=resources(copy, profile=strict), raise_on_error=False
            )  # fmt: skip

            assert evaluations(instance, "universe", "complete") == {key: False}
            assert not done.success
            (failed,) = done.get_step_failure_events()
            assert failed.step_key == "universe"
            assert "may not be decided on: universe.complete" in str(failed.step_failure_data.error)
            assert not done.get_step_success_events()


def resources(made: TradedHome, *, now: str = "", profile: Path | None = None) -> dict[str, object]:
    """The workspace resource of a home."""
    return {"workspace": WorkspaceResource(home=str(made.home), profile=str(profile or made.profile), now=now)}


def test_a_report_range_reports_what_was_traded_and_tells_what_was_not(traded_home: TradedHome, tmp_path: Path) -> None:
    copy = traded_home.copied_to(tmp_path)
    workspace, traded = copy.open(), copy.traded[-1]

    with pytest.raises(TradingPipelineError, match=f"1 sessions of the range are not on record.*{copy.running}"):
        run_range(workspace, "performance_report_job", traded, copy.running)

    with workspace.ledger.read() as tx:
        assert [daily.session for daily in tx.daily_performance("SIM", traded, copy.running)] == [traded]
