"""`venue`: the simulated venue as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from filelock import FileLock, Timeout

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.logs.secrets import know_secrets
from trading_pipeline.cli.context import Options, begin_logs
from trading_pipeline.cli.output import say
from trading_pipeline.domain.errors import HomeInUseError
from trading_pipeline.settings import Settings, load_settings, resolve_home
from trading_pipeline.venue.alpaca.door import AlpacaDoor
from trading_pipeline.venue.alpaca.rules import door_rules
from trading_pipeline.venue.door import LOOPBACK, ByPort, Door, listen, port_of, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults, read_script
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.venue.tape import Tape
from trading_pipeline.venue.tws.control import Control, serve_beside
from trading_pipeline.venue.tws.door import TwsDoor
from trading_pipeline.venue.tws.rules import door_rules as tws_rules

if TYPE_CHECKING:
    from trading_pipeline.wiring import Workspace  # heavy, and serving without a tape needs none of it

AS_ALPACA = {"legs_wait_for_whole_entry": True, "commission_schedule": "zero"}
"""House rules that are the vendor's: legs sleep until the entry is filled whole, and nothing is charged per order."""
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
    (home, settings), script = _place(context), _script(faults)
    with _account(home, settings) as account, listen(port) as listening:
        say(f"venue {account.rules.account} at {url_of(listening)}")
        if ready_file:
            ready_file.write_text(url_of(listening), encoding="utf-8")
        server_of(Door(Hub(account), script)).run(sockets=[listening])


@app.command()
def alpaca(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Alpaca's protocol; 0: any free one")] = 0,
    control_port: Annotated[int, typer.Option(min=0, max=65_535, help="The market's side; 0: any free one")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Written with both URLs (JSON) once both doors serve")] = None,
    faults: Annotated[Path | None, typer.Option(help="JSON script of faults to play at both doors")] = None,
    real_time: Annotated[
        bool, typer.Option(help="Time runs as the machine's; else the market's side moves it")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Stand for a live account: only mode live gets in")] = False,
) -> None:
    """Serve this home's simulated account to Alpaca clients on loopback, until SIGTERM. Prints its URLs.

    Its keys are the configured ones of broker.alpaca, else those of the door's own rules.
    """
    workspace, script = _workspace(context), _script(faults) or Faults()
    with _account(workspace.home, workspace.settings, **AS_ALPACA) as account, listen(port) as trading:
        hub = Hub(account, _time(workspace, account, real_time), _tape(workspace))
        door = AlpacaDoor(hub, door_rules(workspace.settings, is_live=live), workspace.calendar, script)
        with listen(control_port) as control:
            urls = {"alpaca": url_of(trading), "control": url_of(control)}
            say(f"venue {account.rules.account}: Alpaca at {urls['alpaca']}, control at {urls['control']}")
            say(_standing(hub, real_time))
            if ready_file:
                ready_file.write_text(json.dumps(urls), encoding="utf-8")
            doors = ByPort({port_of(trading): door, port_of(control): Door(hub, script)})
            server_of(doors).run(sockets=[trading, control])


@app.command()
def ib(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The TWS protocol; 0: any free one")] = 0,
    control_port: Annotated[int, typer.Option(min=0, max=65_535, help="The market's side; 0: any free one")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Written with both addresses (JSON) once both serve")] = None,
    faults: Annotated[Path | None, typer.Option(help="JSON script of faults to play at both doors")] = None,
    real_time: Annotated[
        bool, typer.Option(help="Time runs as the machine's; else the market's side moves it")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Stand for a live account: only mode live gets in")] = False,
) -> None:
    """Serve this home's simulated account to TWS clients on loopback, until SIGTERM. Prints its addresses."""
    workspace, script = _workspace(context), _script(faults) or Faults()
    place = workspace.home, workspace.settings
    with _account(*place) as account, listen(port) as trading, listen(control_port) as control:
        hub = Hub(account, _time(workspace, account, real_time), _tape(workspace))
        tws = TwsDoor(hub, tws_rules(workspace.settings, is_live=live), script)
        addresses = {"ib": f"{LOOPBACK}:{port_of(trading)}", "control": url_of(control)}
        say(f"venue {account.rules.account}: TWS at {addresses['ib']}, control at {addresses['control']}")
        say(_standing(hub, real_time))
        if ready_file:
            ready_file.write_text(json.dumps(addresses), encoding="utf-8")
        server = server_of(Control(hub, Door(hub, script), tws))
        asyncio.run(serve_beside(tws, trading, server, control))


def _place(context: typer.Context) -> tuple[Path, Settings]:
    options: Options = context.obj or Options()
    home, settings = resolve_home(options.home), load_settings(options.config, profile=options.profile)
    know_secrets(settings)
    begin_logs(context, home, settings)
    return home, settings


def _workspace(context: typer.Context) -> Workspace:
    from trading_pipeline.wiring import Workspace

    return Workspace(*_place(context))


def _script(faults: Path | None) -> Faults | None:
    return Faults(read_script(faults)) if faults else None


@contextmanager
def _account(home: Path, settings: Settings, **house_rules: Any) -> Iterator[SimulatedVenue]:
    """The home's simulated account, for this process alone; the process ends in order on SIGTERM."""
    rules = rules_from(settings).model_copy(update=house_rules)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # uvicorn ends in order first, then raises the signal again
    home.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileLock(home / "venue.lock").acquire(blocking=False),
            closing(SimulatedVenue(home / "venue.sqlite3", rules)) as account,
        ):
            yield account
    except Timeout as error:
        raise HomeInUseError(f"another process serves the venue of {home}. Stop it, or use another --home") from error


def _time(workspace: Workspace, account: SimulatedVenue, real_time: bool) -> VenueTime:
    """A venue that has seen nothing stands where the calendar begins."""
    from trading_pipeline.adapters.calendar import FIRST_DAY

    first = workspace.calendar.sessions(FIRST_DAY, date.max)[0]
    return VenueTime(
        max(account.seen_until(), workspace.calendar.times(first).opens_at), SystemClock().now if real_time else None
    )


def _standing(hub: Hub, real_time: bool) -> str:
    now = f"{hub.time.now():%Y-%m-%d %H:%M:%S} UTC"
    if real_time:
        return f"Its time is {now}, and runs with the machine's."
    return f"Its time stands at {now} until its market's side moves it; with --real-time it runs with the machine's."


def _tape(workspace: Workspace) -> Tape | None:
    """The home's stored bars; None where it has none."""
    from trading_pipeline.adapters.bar_tape import StoredTape

    tape = StoredTape(workspace.bars, workspace.calendar)
    return tape if tape.symbols() else None
