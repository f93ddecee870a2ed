"""`status`: how well everything is, what this home holds, and how the account stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_records, print_table, say
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.health import HealthReport, Level
from trading_pipeline.services.status import read_alarms, read_status

if TYPE_CHECKING:
    from trading_pipeline.wiring import Workspace

SOMETHING_FAILS = 3
"""Exit code; 0: all is well, or there are only warnings; 1: the command itself failed."""
SHOWN = {Level.OK: "ok", Level.WARN: "WARN", Level.FAIL: "FAIL"}


def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """How well everything is, how the account stands, and what its newest session had to tell a person.

    Works while the database, Dagster or the session loop do not. Exit code 0: well, or only warnings; 3: something
    fails.
    """
    from trading_pipeline.wiring.health import read_health

    workspace = workspace_of(context)
    health = read_health(workspace)
    account, alarms = _account(workspace, health)
    if as_json:
        print_json({"home": str(workspace.home), **account, "alarms": alarms, "health": as_document(health)})
    else:
        _show(workspace, health, account, alarms)
    if health.level is Level.FAIL:
        raise typer.Exit(SOMETHING_FAILS)


def as_document(health: HealthReport) -> dict[str, object]:
    """The report for machines; numbers by name and unit."""
    return {
        "at": health.at.isoformat(), "level": health.level.value,
        "findings": [
            {"name": one.name, "level": one.level.value, "says": one.says, "threshold": one.threshold,
             "advice": one.advice, "measured": dict(one.measured)}
            for one in health.findings
        ],
    }  # fmt: skip


def _account(workspace: Workspace, health: HealthReport) -> tuple[dict[str, object], list[dict[str, object]]]:
    """What is on record; no more than the account's name while the database does not answer."""
    name = workspace.settings.execution.account
    if health.find("database").level is Level.FAIL:
        return {"account": name}, []
    try:
        found = read_status(workspace.ledger, workspace.bars, name, workspace.clock.now(), workspace.latch)
        return {"ledger": workspace.ledger.place, **found}, read_alarms(workspace.ledger, name)
    except LedgerError:  # it went away in between
        return {"account": name}, []


def _show(
    workspace: Workspace, health: HealthReport, account: Mapping[str, object], alarms: Sequence[dict[str, object]]
) -> None:
    say(f"home {workspace.home}")
    say(_headline(health))
    heading("Health")
    print_table(("", "", "", "limit"), [(SHOWN[f.level], f.name, f.says, f.threshold) for f in health.findings])
    to_do = [f"  {one.name}: {one.advice}" for one in health.findings if one.advice and one.level is not Level.OK]
    if to_do:
        heading("What to do")
        say("\n".join(to_do))
    heading("Account")
    print_table(("", ""), [(key.replace("_", " "), _words(key, value)) for key, value in account.items()
                         if value is not None])  # fmt: skip
    if account.get("last_session"):
        heading(f"Alarms of session {account['last_session']}")
        print_records(alarms)


def _headline(health: HealthReport) -> str:
    bad = [one.name for one in health.findings if one.level is health.level]
    if health.level is Level.OK:
        return f"all {len(bad)} checks are ok at {health.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{SHOWN[health.level]} at {health.at:%Y-%m-%d %H:%M:%S} UTC: {', '.join(bad)}"


def _words(key: str, value: object) -> str:
    """For people: money by the cent, rows in all."""
    if isinstance(value, dict):
        return f"{sum(value.values()):,} (each table's: --json)"
    return f"{Decimal(str(value)):,.2f}" if key.endswith("_usd") else str(value)
