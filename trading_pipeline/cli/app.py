"""The command line's entry: global options, the commands, and how failures are told."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import complain
from trading_pipeline.domain.errors import (
    LedgerError,
    MarketDataError,
    ModeRefused,
    TradingError,
    TradingPipelineError,
)
from trading_pipeline.env_file import ENV_FILE_VARIABLE

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # the terminal is told anyhow; this is for the file of the logs
GLOBAL_OPTIONS = ("--home", "--config", "--profile", "--env-file")
INTERRUPTED = 130
TROUBLE = (LedgerError, MarketDataError, TradingError)
"""Errors that are no slip of whoever typed the command."""


VERBS = {
    "demo": ("demo", "Build a synthetic market, trade it through Dagster, show what happened and why"),
    "up": ("up", "Start all that trades on this machine: UI, daemon, session loop; --detach: in the background"),
    "down": ("up", "Stop what `up` started"),
    "ui": ("ui", "Open the Dagster UI; nothing starts by itself"),
    "status": ("status", "How well everything is, and how the account stands; exit code 3 when something fails"),
    "logs": ("logs", "What the processes say: the last lines; -f: and what is added"),
    "service": ("service", "print: a systemd unit that keeps `up` running"),
    "relay": ("relay", "run: number and sign the audit log, deliver alerts; `up` does it too"),
    "alerts": ("alerts", "list, show, ack, test, channels, kinds: what was raised, whom it reached, who took notice"),
    "audit": ("audit", "verify, prove, export, tail, checkpoint, accept, keys: the log of all acts, and that it holds"),
    "doctor": ("doctor", "Whether this machine is fit to trade from; what is not comes with its fix"),
    "health": ("health", "serve: /healthz and /metrics for machines that watch"),
    "positions": ("show", "Open positions"),
    "close": ("closing", "Close a position, with a reason"),
    "orders": ("show", "Orders of a session and where they stand"),
    "trades": ("show", "Closed trades, of all sessions or of one"),
    "watchlist": ("show", "Setups scored by SABR20 at one instant"),
    "decisions": ("show", "What the risk checks decided, the decision log and its hash"),
    "funnel": ("show", "From universe to closed trades: who came how far, and why not further"),
    "explain": ("show", "Walk back from a fill to the bars it was decided on"),
    "report": ("show", "A session's performance; also writes its HTML page"),
    "reconcile": ("reconcile", "Compare the record with the venue, and adjust it: marked and audited"),
    "risk": ("risk", "show, what-if, rearm: limits and their usage, and what an entry would be told"),
    "config": ("settings_view", "check, show: settings with units and meaning"),
    "db": ("db", "backup, restore, list, upgrade: the record and its backups"),
    "data": ("data", "import, fetch, stream, check: bars from files and vendors, and what is wrong with them"),
    "venue": ("venue", "serve: the simulated venue as a process of its own"),
    "rehearse": ("rehearse", "Trade stored sessions through a broker's own client against a door, with faults"),
    "execute": ("execute", "Turn a table of signals into orders: sells first, then the buys they free"),
    "session": ("sessions", "run, replay: sessions through the session loop, as they happen or as stored"),
    "pause": ("control", "Let only exits leave; what works at the venue stays"),
    "resume": ("control", "Let entries leave again"),
    "kill": ("control", "Stop all trading at once: latch, cancel entries, keep stops; --flatten closes positions"),
    "breaker": ("breaker", "show, history: what holds entries back, and what did"),
    "mode": ("mode", "show, request, approve, step-down, history: the ladder from simulation to live"),
    "operators": ("operators", "add, list, disable, enable, passwd: who may ask for modes and approve them"),
}
"""Module and help of each verb. A verb's module is imported when it is used: help and mistakes answer at once."""


class Verbs(TyperGroup):
    """Loads verbs when they are used, and ends every expected failure in one message and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Names in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The verb, imported; None when there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"trading_pipeline.cli.{VERBS[cmd_name][0]}")
        found = getattr(module, "app", None) or getattr(module, cmd_name)
        return typer.main.get_command(found if isinstance(found, typer.Typer) else _alone(found))

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The help's list of verbs, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Words of a terminal with another encoding keep nobody from killing: what UTF-8 lacks is written as escape."""
        return super().parse_args(ctx, [_sayable(word) for word in args])

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TradingPipelineError as error:
            log.log(_loudness(error), "%s", error)
            code = complain(str(error))
        except KeyboardInterrupt:
            complain("interrupted. Nothing recorded is lost: run the same command again and it goes on from there.")
            code = INTERRUPTED
        except OSError as error:
            log.error("%s", error)  # noqa: TRY400
            code = _out_of_luck(error)
        except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, AssertionError, MemoryError):
            log.critical("ended by an error nobody expected", exc_info=True)
            raise
        raise typer.Exit(code)


def _loudness(error: TradingPipelineError) -> int:
    """What a person was refused is in the audit log, and no trouble of the machine: it makes nobody unhealthy."""
    if isinstance(error, ModeRefused):
        return logging.WARNING
    return logging.ERROR if isinstance(error, TROUBLE) else logging.INFO


def _sayable(word: str) -> str:
    """The name of a file that is there stays as it is."""
    if word.isascii() or os.path.exists(word):  # noqa: PTH110  never raises
        return word
    return word.encode("utf-8", "backslashreplace").decode()


def _alone(verb: Any) -> typer.Typer:
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command()(verb)
    return single


app = typer.Typer(
    cls=Verbs,
    name="trading-pipeline",
    help="Data-and-trading pipeline for US equities: from bars to orders to reports, with lineage. Start with: demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Folder of all state. Default: $TRADING_PIPELINE_HOME, else .trading_pipeline")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML of all settings. Default: $TRADING_PIPELINE_CONFIG, else the shipped one")
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="YAML with only the settings that differ")] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="NAME=VALUE lines for keys, mode 600. Default: $TRADING_PIPELINE_ENV_FILE")
    ] = None,
) -> None:
    """Take the global options; they may stand anywhere on the line."""
    if env_file is not None:
        os.environ[ENV_FILE_VARIABLE] = str(env_file.expanduser().resolve())  # for what is started from here, too
    from trading_pipeline.adapters.logs.redaction import tell_traceback
    from trading_pipeline.adapters.logs.secrets import know_secrets

    know_secrets()
    sys.excepthook = tell_traceback  # here: typer sets its own before
    context.obj = Options(home, config, profile)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The arguments with global options first, so that they may stand anywhere."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in GLOBAL_OPTIONS:
            front += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        elif argument.startswith(tuple(f"{option}=" for option in GLOBAL_OPTIONS)):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def _out_of_luck(error: OSError) -> int:
    if error.errno in {errno.EFBIG, errno.EDQUOT}:
        return complain(f"{error.filename or 'a file'} would become too large: a limit or quota forbids it. Raise it.")
    if error.errno == errno.ENOSPC:
        return complain(f"the disk is full ({error.filename or 'while writing'}). Free some space and run it again.")
    if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.ENOENT}:
        return complain(f"{error.strerror}: {error.filename}. Check the path, or choose another --home.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return complain(f"{error.strerror}: {error.filename}. Check permissions, or choose another --home.")
    raise error


def main() -> None:
    """Entry point of `trading-pipeline`."""
    app(args=hoisted(sys.argv[1:]))
