"""logs: what the processes of this home say, and have said."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from trading_pipeline.adapters.log_tail import Follower, last_lines
from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import console, say
from trading_pipeline.domain.errors import InputError, MissingResultError
from trading_pipeline.settings import resolve_home

BETWEEN_LOOKS_SECONDS = 0.3
UNSAID = frozenset({"pid", "logger"})
"""Left out on a terminal; the file has them."""
SUFFIXES = (".log", ".jsonl")


def logs(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Of one log; default: all, each line with its log's name")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="From the end of each log", min=0)] = 20,
) -> None:
    """Show the last lines of the logs in the home's logs/, and what is added to them.

    JSON lines are shown as words on a terminal, and go as they are to a pipe.
    """
    home = resolve_home((context.obj or Options()).home)
    chosen = _chosen(home, name)
    widest = max(map(len, chosen)) if len(chosen) > 1 else 0
    followers = {one: Follower(path) for one, path in chosen.items()} if follow else {}
    for one, path in chosen.items():
        _show(one, last_lines(path, lines), widest)
    try:
        while followers:
            for one, follower in followers.items():
                _show(one, follower.new_lines(), widest)
            time.sleep(BETWEEN_LOOKS_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        for follower in followers.values():
            follower.close()


def _chosen(home: Path, name: str | None) -> Mapping[str, Path]:
    """The logs asked for, by name. Raises MissingResultError where there are none, InputError for an unknown name."""
    folder = home / "logs"
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}
    if not found:
        raise MissingResultError(f"there are no logs in {folder} yet. Start what writes them: trading-pipeline up")
    if name is None:
        return found
    if name not in found:
        raise InputError(f"there is no log {name!r} in {folder}; there are: {', '.join(found)}")
    return {name: found[name]}


def _show(name: str, lines: list[str], widest: int) -> None:
    for line in lines:
        shown = _for_people(line) if console.is_terminal else line
        say(f"{name:{widest}}  {shown}" if widest else shown)
    sys.stdout.flush()


def _for_people(line: str) -> str:
    """A JSON line as words: when, how loud, what, and the ids it carries; any other line as it is."""
    try:
        told = json.loads(line)
        at, level, event = (str(told.pop(name)) for name in ("at", "level", "event"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    trace = told.pop("exception", "")
    ids = " ".join(f"{name}={value}" for name, value in told.items() if name not in UNSAID)
    return f"{at[:19].replace('T', ' ')} {level:8} {event}  {ids}".rstrip() + (f"\n{trace}" if trace else "")
