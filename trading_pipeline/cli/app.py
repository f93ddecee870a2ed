"""The command line's entry: global options, the commands, and how failures are told."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trading_pipeline.cli import data, demo, sessions, settings_view, show, ui
from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import complain
from trading_pipeline.domain.errors import TradingPipelineError

GLOBAL_OPTIONS = ("--home", "--config", "--profile")
INTERRUPTED = 130


class Verbs(TyperGroup):
    """Ends every expected failure in one message and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TradingPipelineError as error:
            code = complain(str(error))
        except KeyboardInterrupt:
            complain("interrupted. Nothing recorded is lost: run the same command again and it goes on from there.")
            code = INTERRUPTED
        except OSError as error:
            code = _out_of_luck(error)
        raise typer.Exit(code)


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
) -> None:
    """Take the global options; they may stand anywhere on the line."""
    context.obj = Options(home, config, profile)


app.command()(demo.demo)
app.command()(ui.ui)
app.add_typer(settings_view.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(sessions.app, name="session")
show.add_commands(app)


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
    if error.errno == errno.ENOSPC:
        return complain(f"the disk is full ({error.filename or 'while writing'}). Free some space and run it again.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return complain(f"{error.strerror}: {error.filename}. Check permissions, or choose another --home.")
    raise error


def main() -> None:
    """Entry point of `trading-pipeline`."""
    app(args=hoisted(sys.argv[1:]))
