"""config check | show"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trading_pipeline.cli.context import JsonOption, Options, workspace_of
from trading_pipeline.cli.output import print_json, print_table, say
from trading_pipeline.settings import Settings, load_settings

app = typer.Typer(
    help="Settings: check them, show them with units and meaning.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
WIDEST = 80


def _settings(context: typer.Context) -> Settings:
    options: Options = context.obj or Options()
    return load_settings(options.config, profile=options.profile)


@app.command()
def check(
    context: typer.Context,
    broker: Annotated[bool, typer.Option("--broker", help="Also ask the broker: keys, account, cash")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read the settings and say whether they hold together; --broker: whether the broker lets us in."""
    settings = _settings(context)
    _require_broker(settings)
    _require_channels(settings)
    found = _asked(context) if broker else {}
    if as_json:
        told = {"broker": {key: _plain(value) for key, value in found.items()}} if broker else {}
        print_json({"valid": True, "config_hash": settings.digest(), **told})
        return
    say(f"settings are valid; configuration {settings.digest()[:12]}")
    if broker:
        print_table(("", ""), [(key.replace("_", " "), value) for key, value in found.items() if key != "to_do"])
        say("\n".join(f"Before the first session: {one}" for one in _todo(found)) or "Ready for a session.")


def _require_broker(settings: Settings) -> None:
    """Raises InputError for a broker that could not be asked: an address the mode forbids, or no keys."""
    from trading_pipeline.wiring.brokers import broker_connection

    broker_connection(settings, Path(), lambda: settings)  # opens nothing


def _require_channels(settings: Settings) -> None:
    """Raises SettingsError for a channel of alerts whose address nobody understands."""
    if settings.alerts.in_order():
        from trading_pipeline.wiring.alerts import open_lines

        open_lines(settings)  # sends nothing


def _asked(context: typer.Context) -> Mapping[str, object]:
    from trading_pipeline.cli.broker_check import ask_broker

    return ask_broker(workspace_of(context))


def _todo(found: Mapping[str, object]) -> list[str]:
    todo = found["to_do"]
    return [str(one) for one in todo] if isinstance(todo, list) else []


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


@app.command()
def show(
    context: typer.Context,
    as_json: JsonOption = False,
    as_yaml: Annotated[bool, typer.Option("--as-yaml", help="Print YAML, to start a profile from")] = False,
) -> None:
    """Show every setting with its value and meaning; --as-yaml prints a file to start a profile from."""
    settings = _settings(context)
    tree = settings.model_dump(mode="json")
    if as_json:
        print_json(tree)
    elif as_yaml:
        say(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip())
    else:
        print_table(("setting", "value", "meaning"), _rows(settings))


def _rows(model: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += _rows(value, f"{prefix}{name}.")
            continue
        rows.append((f"{prefix}{name}", _shown(value), _meaning(field)))
        if isinstance(value, Mapping):
            for key, one in value.items():
                rows += _rows(one, f"{prefix}{name}.{key}.") if isinstance(one, BaseModel) else []
    return rows


def _shown(value: object) -> str:
    """A long table of rules is cut short: --as-yaml has it whole."""
    parts = [_words(one) for one in value] if isinstance(value, tuple | list | Mapping) else [_words(value)]
    text = ", ".join(parts) or "none"
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _words(value: object) -> str:
    """What is a table of its own by its name, or field by field."""
    if not isinstance(value, BaseModel):
        return str(value)
    own = value.model_dump(mode="json")
    return str(own["name"]) if "name" in own else " ".join(f"{name} {one}" for name, one in own.items())


def _meaning(field: FieldInfo) -> str:
    return field.description or ""
