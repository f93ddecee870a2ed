"""relay: what numbers and signs the audit log, and delivers alerts."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import complain, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
STOP_SECONDS = 20.0
STUCK = 4
"""Exit code of a process that was asked to stop and could not."""


@app.callback()
def relay() -> None:
    """Carry on what the pipeline has to tell: the audit log, and alerts."""


@app.command()
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One pass, for cron or after a crash; then end")] = False,
    as_json: JsonOption = False,
) -> None:
    """Number and sign the audit log, and deliver alerts, until stopped; `up` does it too. Trading never waits for it.

    Several may run: one works, the others wait. Exit code 1: something of a single pass failed.
    """
    from trading_pipeline.adapters.stop_signals import stop_signals
    from trading_pipeline.wiring.relay import relay as make_relay

    made = make_relay(workspace_of(context))
    if once:
        _tell(made.run_once(), as_json=as_json)
        return
    say(f"relay {made.holder} runs: {', '.join(post.name for post in made.posts)}; Ctrl-C ends it")
    with stop_signals(lambda: os._exit(STUCK), STOP_SECONDS) as asked:
        made.run(asked)
    say("ended: what was told until now is on record.")


@app.command()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Who numbers the audit log and who delivers alerts now. Exit code 1: for one of them nobody does."""
    from trading_pipeline.wiring.relay import leaders

    found = leaders(workspace_of(context), SystemClock().now())
    if as_json:
        print_json({name: {"holder": lease.holder, "until": lease.expires_at.isoformat()} if lease else None
                    for name, lease in found.items()})  # fmt: skip
    else:
        print_table(("worker", "held by", "until (UTC)"),
                    [(name, lease.holder, f"{lease.expires_at:%H:%M:%S}") if lease else (name, "nobody", "")
                     for name, lease in found.items()])  # fmt: skip
    if idle := [name for name, lease in found.items() if lease is None]:
        raise typer.Exit(complain(f"nobody does: {', '.join(idle)}. Start: trading-pipeline relay run, or up"))


def _tell(became: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json({name: {"ok": not trouble, "trouble": trouble or None} for name, trouble in became.items()})
    else:
        for name, trouble in became.items():
            say(f"{name}: {'done' if not trouble else 'failed'}")
    troubles = [f"{name}: {trouble}" for name, trouble in became.items() if trouble]
    if troubles:
        raise typer.Exit(complain("\n".join(troubles)))
