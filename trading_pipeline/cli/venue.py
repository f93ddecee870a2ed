"""`venue`: the simulated venue as a process of its own."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import say
from trading_pipeline.domain.errors import HomeInUseError
from trading_pipeline.settings import load_settings, resolve_home
from trading_pipeline.venue.door import Door, listen, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults, read_script
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.rules import rules_from

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def venue() -> None:
    """The simulated venue."""


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Written with the URL once connections are taken")] = None,
    faults: Annotated[Path | None, typer.Option(help="JSON script of faults to play")] = None,
) -> None:
    """Serve this home's simulated account on loopback, until SIGTERM. Prints its URL."""
    options: Options = context.obj or Options()
    settings, home = load_settings(options.config, profile=options.profile), resolve_home(options.home)
    script = Faults(read_script(faults)) if faults else None
    home.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileLock(home / "venue.lock").acquire(blocking=False),
            closing(SimulatedVenue(home / "venue.sqlite3", rules_from(settings))) as account,
        ):
            _serve(account, script, port, ready_file)
    except Timeout as error:
        raise HomeInUseError(f"another process serves the venue of {home}. Stop it, or use another --home") from error


def _serve(venue: SimulatedVenue, script: Faults | None, port: int, ready_file: Path | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # uvicorn ends in order first, then raises the signal again
    with listen(port) as listening:
        say(f"venue {venue.rules.account} at {url_of(listening)}")
        if ready_file:
            ready_file.write_text(url_of(listening), encoding="utf-8")
        server_of(Door(Hub(venue), script)).run(sockets=[listening])
