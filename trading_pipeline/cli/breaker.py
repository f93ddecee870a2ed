"""`breaker`: what holds entries back now, and what did before."""

from __future__ import annotations

from typing import Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.control import FLATTENS, RESUME, control_json
from trading_pipeline.cli.output import print_json, print_table, say
from trading_pipeline.services.breaker import read_control, read_history

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def breaker() -> None:
    """The circuit breaker."""


@app.command()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """The trading state in force, every cause of it, and when it may be resumed."""
    workspace = workspace_of(context)
    rules = workspace.settings.execution
    view = read_control(lambda: workspace.ledger, workspace.latch, rules.account, rules.breaker)
    if as_json:
        print_json({**control_json(view), "latch_file": workspace.latch.file.place})
        return
    say(f"account {view.account} is {view.state.value}")
    rows = [
        (cause.kind, cause.name, cause.measured, cause.limit, f"{cause.since:%Y-%m-%d %H:%M:%S}" if cause.since else "",
         cause.words)
        for cause in view.causes
    ]  # fmt: skip
    if rows:
        print_table(("cause", "by", "measured", "limit", "since (UTC)", "words"), rows)
    if view.flattens:
        say(FLATTENS)
    if view.cooldown_until:
        say(f"cooldown until {view.cooldown_until:%Y-%m-%d %H:%M:%S} UTC")
    if view.is_latched:
        say(f"Again: {RESUME}")


@app.command()
def history(
    context: typer.Context,
    sessions: Annotated[int, typer.Option("--sessions", min=1, max=10_000, help="Newest sessions to look at")] = 20,
    as_json: JsonOption = False,
) -> None:
    """What began, ended, tripped and was set, with the values that caused it, oldest first."""
    workspace = workspace_of(context)
    events = read_history(workspace.ledger, workspace.settings.execution.account, sessions=sessions)
    if as_json:
        rows = [
            {"at": one.occurred_at.isoformat(), "session": one.session.isoformat(), "kind": one.kind,
             "severity": one.severity, "message": one.message, "data": one.data}
            for one in events
        ]  # fmt: skip
        print_json(rows)
        return
    shown = [
        (f"{one.occurred_at:%Y-%m-%d %H:%M:%S}", one.kind, one.data.get("measured", ""), one.data.get("limit", ""),
         one.message)
        for one in events
    ]  # fmt: skip
    print_table(("at (UTC)", "what", "measured", "limit", "words"), shown, empty="nothing in these sessions")
