"""close: asking the session loop to leave a position."""

from __future__ import annotations

from typing import Annotated

import typer

from trading_pipeline.cli.context import workspace_of
from trading_pipeline.cli.output import say
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.services.care.requests import held_position, request_exit


def close(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="The position's symbol")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words; kept on record")],
    operator: Annotated[str, typer.Option("--operator", help="Who asks for it; kept on record")],
) -> None:
    """Close a position: written down at once, done by the running session's next step, else by the next session."""
    workspace = workspace_of(context)
    with workspace.ledger.transaction() as tx:
        position = held_position(tx, workspace.settings.execution.account, symbol.upper())
        event = request_exit(
            tx, workspace.calendar, position, reason=ExitReason.MANUAL, operator=operator, text=reason,
            now=workspace.clock.now(),
        )  # fmt: skip
    say(
        f"{event.message}. Asked for at {event.occurred_at:%Y-%m-%d %H:%M:%S} UTC; session {event.session} carries it "
        "out. See it: trading-pipeline orders"
    )
