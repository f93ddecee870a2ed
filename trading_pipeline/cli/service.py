"""service print: the unit by which systemd keeps `up` running."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from trading_pipeline.adapters.machine import UNIT
from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import say
from trading_pipeline.cli.programs import HEALTH_PORT, UI_PORT
from trading_pipeline.cli.up import HealthOption, PortOption
from trading_pipeline.domain.errors import InputError
from trading_pipeline.env_file import ENV_FILE_VARIABLE
from trading_pipeline.settings import (
    CONFIG_VARIABLE,
    HOME_VARIABLE,
    PROFILE_VARIABLE,
    load_settings,
    resolve_home,
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
STOP_SECONDS = 120
TEMPLATE = """\
# Made by: trading-pipeline service print > {unit}
# Then: {install}
[Unit]
Description=Trading pipeline in {home}
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
{user}WorkingDirectory={folder}
ExecStart={command}
{environment}Restart=on-failure
RestartSec=5
KillMode=mixed
TimeoutStopSec={stop}
UMask=0077
LimitNOFILE=65536
NoNewPrivileges=true

[Install]
WantedBy={wanted_by}
"""


@app.callback()
def service() -> None:
    """A service that the machine starts by itself."""


@app.command("print")
def print_(
    context: typer.Context,
    port: PortOption = UI_PORT,
    health_port: HealthOption = HEALTH_PORT,
    user: Annotated[bool, typer.Option("--user", help="For the user's own systemd instead of the machine's")] = False,
) -> None:
    """Print a systemd unit that runs `up` in this home under these settings; its first lines say how to install it.

    Keys are no part of it: name their file with --env-file.
    """
    options: Options = context.obj or Options()
    load_settings(options.config, profile=options.profile)  # what would not start is not installed
    ports = ("--port", str(port), "--health-port", str(health_port))
    command = (sys.executable, "-m", "trading_pipeline.cli", "up", *ports)
    text = TEMPLATE.format(
        install=_install(user=user), unit=UNIT, home=_plain(str(resolve_home(options.home))), stop=STOP_SECONDS,
        command=" ".join(_quoted(word.replace("$", "$$")) for word in command), folder=_plain(str(Path.cwd())),
        user="" if user else f"User={getpass.getuser()}\n", environment=_environment(options),
        wanted_by="default.target" if user else "multi-user.target",
    )  # fmt: skip
    say(text.rstrip())


def _install(*, user: bool) -> str:
    folder, sudo, system = ("~/.config/systemd/user", "", "systemctl --user") if user else (
        "/etc/systemd/system", "sudo ", "sudo systemctl"
    )  # fmt: skip
    return f"{sudo}install -m 644 -D -t {folder} {UNIT} && {system} daemon-reload && {system} enable --now {UNIT[:-8]}"


def _environment(options: Options) -> str:
    """What decides where and how it runs; variables with single settings belong into the env file or the profile."""
    paths = {
        HOME_VARIABLE: resolve_home(options.home), CONFIG_VARIABLE: options.config or os.environ.get(CONFIG_VARIABLE),
        PROFILE_VARIABLE: options.profile or os.environ.get(PROFILE_VARIABLE),
        ENV_FILE_VARIABLE: os.environ.get(ENV_FILE_VARIABLE),
    }  # fmt: skip
    given = {name: str(Path(path).expanduser().resolve()) for name, path in paths.items() if path}
    return "".join(f"Environment={_quoted(f'{name}={path}')}\n" for name, path in given.items())


def _quoted(word: str) -> str:
    """As systemd reads it: % begins a specifier, and quotes and backslashes are escaped."""
    plain = _plain(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"' if any(letter in word for letter in " \"'\\;") else plain


def _plain(word: str) -> str:
    if "\n" in word:
        raise InputError(f"a path with a line break cannot stand in a unit file: {word!r}")
    return word.replace("%", "%%")
