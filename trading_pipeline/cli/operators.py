"""`operators`: who may ask for modes and approve them. Passwords come from a prompt, a pipe or the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import print_json, print_table, say
from trading_pipeline.cli.passwords import ask_new_password, ask_password
from trading_pipeline.services.modes.operators import Credentials, Operators

if TYPE_CHECKING:
    from trading_pipeline.domain.approvals import Operator

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
Name = Annotated[str, typer.Argument(metavar="NAME", help="2 to 32 of a-z, 0-9, dot, dash, underline")]
By = Annotated[str, typer.Option("--by", help="The operator who does it; the first one is added without")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the record")]


@app.callback()
def operators() -> None:
    """People who may ask for modes and approve them."""


@app.command()
def add(context: typer.Context, name: Name, by: By = "", as_json: JsonOption = False) -> None:
    """Add one, enabled. The first ever needs no other operator: the name of this machine's user goes on record."""
    desk = _desk(context)
    actor = _actor(by)
    _tell(desk.add(name, ask_new_password(name), actor), as_json)


@app.command("list")
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """All of them, enabled or not."""
    found = _desk(context).all()
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    rows = [
        (one.name, one.is_enabled, f"{one.added_at:%Y-%m-%d %H:%M:%S}", one.added_by, one.failures) for one in found
    ]
    head = ("operator", "enabled", "added (UTC)", "by", "wrong passwords")
    print_table(head, rows, empty="nobody yet. Add the first: trading-pipeline operators add NAME")


@app.command()
def disable(context: typer.Context, name: Name, by: By, reason: Why, as_json: JsonOption = False) -> None:
    """From now on this one neither asks nor approves, and approvals given but not used do not count."""
    _tell(_desk(context).set_enabled(name, enabled=False, by=_actor(by), reason=reason), as_json)


@app.command()
def enable(context: typer.Context, name: Name, reason: Why, by: By = "", as_json: JsonOption = False) -> None:
    """Let a disabled one ask and approve again."""
    _tell(_desk(context).set_enabled(name, enabled=True, by=_actor(by), reason=reason), as_json)


@app.command()
def passwd(context: typer.Context, name: Name, by: By = "", as_json: JsonOption = False) -> None:
    """Set a password: of yourself, or with --by of another."""
    desk = _desk(context)
    actor = _actor(by or name)
    _tell(desk.set_password(name, ask_new_password(name), actor), as_json)


@app.command()
def recover(context: typer.Context, name: Name, reason: Why, as_json: JsonOption = False) -> None:
    """Set the password of who has forgotten it while nobody else can: halts every account, in SIMULATION.

    Only for who owns the home and its audit key. It asks for no operator's word, is told as CRITICAL, and takes all
    modes away: they take evidence and approvals again. Where another operator can do it: operators passwd NAME --by.
    """
    from trading_pipeline.services.modes.recovery import recover as recover_one
    from trading_pipeline.wiring.modes import owner_of

    workspace = workspace_of(context)
    owner = owner_of(workspace, name)
    operator, stopped = recover_one(_desk(context), owner, name, ask_new_password(name), reason)
    if as_json:
        print_json({**_as_json(operator), "stopped": list(stopped)})
        return
    say(f"operator {operator.name} is enabled, with the new password")
    say(f"halted, in SIMULATION: {', '.join(stopped)}. Again: trading-pipeline resume --reason TEXT --operator NAME")


def _desk(context: typer.Context) -> Operators:
    from trading_pipeline.wiring.modes import operators_of

    return operators_of(workspace_of(context))


def _actor(by: str) -> Credentials | None:
    return Credentials(by, ask_password(by)) if by else None


def _tell(operator: Operator, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(operator))
        return
    say(f"operator {operator.name} is {'enabled' if operator.is_enabled else 'disabled'}")


def _as_json(operator: Operator) -> dict[str, object]:
    return {
        "operator": operator.name, "enabled": operator.is_enabled, "added_at": operator.added_at.isoformat(),
        "added_by": operator.added_by, "wrong_passwords": operator.failures,
    }  # fmt: skip
