"""`health serve`: /healthz and /metrics for machines that watch."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import workspace_of
from trading_pipeline.cli.output import say
from trading_pipeline.domain.errors import InputError

if TYPE_CHECKING:
    from trading_pipeline.adapters.health_page import Watcher
    from trading_pipeline.wiring import Workspace

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]


@app.callback()
def health() -> None:
    """Health for machines that watch."""


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one")] = 9464,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="For an address other machines reach: nobody is asked who he is"),
    ] = False,
) -> None:
    """Serve /healthz (200 or 503) and /metrics (Prometheus), until SIGTERM. Raises the alarm when the loop is dead."""
    import uvicorn

    from trading_pipeline.adapters.health_page import health_app

    is_loopback = _require_loopback(host, allow_remote)
    workspace = workspace_of(context)
    with closing(_listen(host, port)) as listening:
        watcher = _watcher(workspace)
        watcher.start()
        say(f"health at http://{host}:{listening.getsockname()[1]}/healthz and /metrics")
        hosts = LOOPBACK_NAMES if is_loopback else ["*"]
        page = health_app(watcher, _facts(workspace), hosts)
        server = uvicorn.Server(uvicorn.Config(page, log_config=None, access_log=False, lifespan="off"))
        server.run(sockets=[listening])


def _watcher(workspace: Workspace) -> Watcher:
    from trading_pipeline.adapters.health_page import Watcher
    from trading_pipeline.wiring.health import watch

    return Watcher(lambda: watch(workspace), workspace.settings.health.every_seconds)


def _facts(workspace: Workspace) -> dict[str, str]:
    origin, execution = workspace.provenance, workspace.settings.execution
    return {
        "code_version": origin.code_version, "config_hash": origin.config_hash[:12], "account": execution.account,
        "mode": execution.mode,
    }  # fmt: skip


def _require_loopback(host: str, allow_remote: bool) -> bool:
    """True for loopback; raises InputError for any other address that was not explicitly allowed."""
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError as error:
        raise InputError(f"{host!r} is not an address: write it as 127.0.0.1") from error
    if not is_loopback and not allow_remote:
        raise InputError(
            f"{host} can be reached from other machines, and these pages ask nobody who he is (they show equity and "
            "positions). Leave --host away, or add --allow-remote when a firewall guards the port"
        )
    return is_loopback


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InputError(f"{host}:{port} cannot be listened on: {os.strerror(error.errno or 0)}") from error
        raise InputError(f"port {port} is in use: stop what listens there, or choose another with --port") from error
