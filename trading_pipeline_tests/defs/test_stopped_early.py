"""A loop that is stopped before research has made anything: its run ends well, and says what was not asked."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.trading import report_session
from trading_pipeline.domain.errors import MissingResultError

SESSION = date(2025, 6, 10)


@dg.op
def reporting(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    """What a hosted loop does once it was stopped."""
    report_session(context, workspace.open(), SESSION)


@dg.op
def researching(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    """What a step does that says it has made something."""
    report_checks(context, workspace.open().research, SESSION, "universe")


@dg.job(executor_def=dg.in_process_executor)
def stopped_job() -> None:
    reporting()


@dg.job(executor_def=dg.in_process_executor, partitions_def=SESSIONS)
def research_of_one_session() -> None:
    researching()


def test_it_is_no_failure_and_what_can_be_asked_is(tmp_path: Path) -> None:
    done = stopped_job.execute_in_process(resources={"workspace": WorkspaceResource(home=str(tmp_path))})

    assert done.success
    assert [(one.check_name, one.passed) for one in done.get_asset_check_evaluations()] == [("equal_fills", True)]


def test_what_a_run_of_one_session_should_have_made_is_missed_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingResultError, match="universe"):
        research_of_one_session.execute_in_process(
            partition_key=SESSION.isoformat(), resources={"workspace": WorkspaceResource(home=str(tmp_path))}
        )
