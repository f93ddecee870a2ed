"""`halt` and `resume`: the account's trading state, set by a person and on record."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import print_json, say
from trading_pipeline.domain.control import TradingState, TradingStateRecord
from trading_pipeline.domain.errors import InputError
from trading_pipeline.services.trading_state import current_state, set_trading_state

OperatorOption = Annotated[str, typer.Option("--operator", help="Who says so. Default: the user of this machine")]


def halt(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record")] = "halted by hand",
    operator: OperatorOption = "",
    reducing: Annotated[bool, typer.Option("--reducing", help="Only stop entries; what works stays")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let no entry leave from now on. The session loop cancels working entries; stops and exits stay."""
    state = TradingState.REDUCING if reducing else TradingState.HALTED
    if reducing:
        _refuse_to_loosen(context)
    _tell(_set(context, state, reason, operator), as_json)


def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why it is safe again, for the record")],
    operator: Annotated[str, typer.Option("--operator", help="Who says so")],
    as_json: JsonOption = False,
) -> None:
    """Let entries leave again."""
    _tell(_set(context, TradingState.ACTIVE, reason, operator), as_json)


def _refuse_to_loosen(context: typer.Context) -> None:
    """Only a resume loosens a halt: raise InputError when the account is halted already."""
    workspace = workspace_of(context)
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        known = current_state(tx, account)
    if known is TradingState.HALTED:
        raise InputError(
            f"account {account} is HALTED, which is stricter than REDUCING: it stays so. Loosen it with "
            "trading-pipeline resume --reason TEXT --operator NAME"
        )


def _set(context: typer.Context, state: TradingState, reason: str, operator: str) -> TradingStateRecord:
    workspace = workspace_of(context)
    return set_trading_state(
        workspace.ledger, workspace.settings.execution.account, state, reason=reason,
        operator=operator or getpass.getuser(), at=SystemClock().now(),
    )  # fmt: skip


def _tell(record: TradingStateRecord, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "account": record.account, "state": record.state.value, "reason": record.reason,
                "set_by": record.set_by, "changed_at": record.changed_at.isoformat(),
            }
        )  # fmt: skip
        return
    say(f"account {record.account} is {record.state.value}: {record.reason} ({record.set_by})")
    if not record.state.allows_entries:
        say("No entry leaves. Stops stay at the venue. Again: trading-pipeline resume --reason TEXT --operator NAME")
