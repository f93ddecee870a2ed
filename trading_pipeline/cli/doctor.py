"""doctor: whether this machine is fit to trade from, each finding with its fix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from trading_pipeline.cli.context import JsonOption, Options
from trading_pipeline.cli.output import print_json, print_table, say
from trading_pipeline.cli.programs import HEALTH_PORT, UI_PORT
from trading_pipeline.domain.errors import SettingsError
from trading_pipeline.domain.health import HealthReport, Level
from trading_pipeline.env_file import ENV_FILE_VARIABLE
from trading_pipeline.services.doctor import diagnose
from trading_pipeline.settings import resolve_home


def doctor(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port the UI is to have", min=1, max=65535)] = UI_PORT,
    health_port: Annotated[int, typer.Option(help="Port the health page is to have", min=1, max=65535)] = HEALTH_PORT,
    broker: Annotated[bool, typer.Option("--broker", help="Also hold the clock against the broker's")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine and say what is wrong with it and how to put it right; exit code 1 when something fails."""
    from trading_pipeline.wiring.doctor import examine

    options: Options = context.obj or Options()
    ports = ((port, "UI", "--port"), (health_port, "health page", "--health-port"))
    machine, settings = examine(_home(options), options.config, options.profile, ports, ask_broker=broker)
    report = diagnose(machine, settings.health)
    if as_json:
        print_json(_json(report))
    else:
        _show(report)
    raise typer.Exit(1 if report.level is Level.FAIL else 0)


def _home(options: Options) -> Path:
    """As every command finds it; without the env file when that cannot be used, which is told as a finding."""
    try:
        return resolve_home(options.home)
    except SettingsError:
        return resolve_home(options.home, {**os.environ, ENV_FILE_VARIABLE: ""})


def _json(report: HealthReport) -> dict[str, object]:
    findings = [
        {"name": one.name, "level": one.level.value, "says": one.says, "fix": one.advice} for one in report.findings
    ]
    return {"at": report.at.isoformat(), "level": report.level.value, "findings": findings}


def _show(report: HealthReport) -> None:
    print_table(("", "what", "found"), [(one.level.value, one.name, one.says) for one in report.findings])
    todo = [one for one in report.findings if one.level is not Level.OK]
    for one in todo:
        say(f"\n{one.level.value}: {one.name}: {one.says}\n  fix: {one.advice}")
    say("\nthis machine is fit to trade from." if not todo else f"\n{len(todo)} of {len(report.findings)} need a look.")
