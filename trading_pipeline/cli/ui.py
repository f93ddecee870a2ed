"""ui: the Dagster UI and daemon over this home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Annotated

import typer

from trading_pipeline.cli.context import workspace_of
from trading_pipeline.cli.output import say
from trading_pipeline.defs.instance import ROOT, prepare_dagster_home
from trading_pipeline.settings import HOME_VARIABLE


def ui(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1", min=1, max=65535)] = 3000,
) -> None:
    """Open the Dagster UI and daemon on the local instance; Ctrl-C stops both."""
    workspace = workspace_of(context)
    folder = prepare_dagster_home(workspace.home)
    say(f"Dagster on http://127.0.0.1:{port} in about 30 seconds; state in {folder}. Ctrl-C stops it.")
    where = ["--host", "127.0.0.1", "--port", str(port), "-w", str(ROOT / "workspace.yaml")]
    command = [sys.executable, "-m", "dagster", "dev", *where]
    environment = {**os.environ, HOME_VARIABLE: str(workspace.home)}
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)  # before the child starts: a shell's background job ignores SIGINT
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)  # noqa: S603
    try:
        raise typer.Exit(process.wait())
    except KeyboardInterrupt:
        _stop(process)
        say("stopped.")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop Dagster and its children: politely to the whole group, then for good."""
    for name, patience in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, name)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
