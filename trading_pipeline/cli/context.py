"""What every command starts from: the workspace, and which session is meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from trading_pipeline.domain.errors import InputError, MissingResultError

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings
    from trading_pipeline.wiring import Workspace

LATEST = "latest"
SessionOption = Annotated[str, typer.Option("--session", help="Session date (YYYY-MM-DD), or: latest")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines")]


@dataclass(frozen=True, slots=True)
class Options:
    """The global options as given."""

    home: Path | None = None
    config: Path | None = None
    profile: Path | None = None


def workspace_of(context: typer.Context) -> Workspace:
    """The workspace the command works in."""
    from trading_pipeline.wiring import open_workspace

    options: Options = context.obj or Options()
    workspace = open_workspace(options.home, config=options.config, profile=options.profile)
    begin_logs(context, workspace.home, workspace.settings)
    return workspace


def begin_logs(context: typer.Context, home: Path, settings: Settings) -> None:
    """Log into the home until the command ends."""
    from trading_pipeline.adapters.logs.setup import start_logs, stop_logs

    start_logs(home, settings.logs, process=" ".join(_verbs(context)))
    context.find_root().call_on_close(stop_logs)


def _verbs(context: typer.Context) -> list[str]:
    """The words of the command, without the program's own name."""
    words, at = list[str](), cast("Any", context)  # typer's own, and then click's
    while at.parent is not None:
        words.insert(0, at.info_name or "")
        at = at.parent
    return words


def parse_day(text: str) -> date:
    """A date; raises InputError that shows the format."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a date: write it as 2025-06-10, or: latest") from error


def chosen_session(workspace: Workspace, text: str, *, traded: bool = False) -> date:
    """The session meant: a date that is one, or the newest in this home; `traded`: the newest traded, if any is."""
    if text != LATEST:
        return workspace.calendar.times(parse_day(text)).session
    with workspace.ledger.read() as tx:
        records = tx.session_records(workspace.settings.execution.account)
    researched = [] if traded and records else workspace.frames.sessions("sabr20_watchlist")
    newest = max([*(record.session for record in records), *researched], default=None)
    if newest is None:
        raise MissingResultError(
            f"nothing has been run in {workspace.home} yet. Try: trading-pipeline demo, or import bars and then "
            "trading-pipeline session replay --session YYYY-MM-DD"
        )
    return newest
