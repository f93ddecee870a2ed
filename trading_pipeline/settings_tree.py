"""Files of settings as trees: read, laid over one another, and where in them a key stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from trading_pipeline.domain.errors import SettingsError

try:  # ten times as fast, and every command reads its settings first
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings by name, as the file has them; raises SettingsError."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), SafeLoader)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}. Check the path and its permissions.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold settings by name, not a {type(tree).__name__}.")
    _require_no_addresses(path, tree)
    return tree


def _require_no_addresses(path: Path, tree: dict[str, Any]) -> None:
    """The address of a channel of alerts holds a password or token; a file that is copied about is no place for it."""
    alerts = tree.get("alerts")
    channels = alerts.get("channels") if isinstance(alerts, dict) else None
    for name, channel in channels.items() if isinstance(channels, dict) else ():
        url = channel.get("url") if isinstance(channel, dict) else None
        if url and set(str(url)) != {"*"}:  # as `config show --as-yaml` writes it
            raise SettingsError(
                f"{path}: alerts.channels.{name}.url holds a secret and is not taken from a file. Take it out, and set "
                f"TRADING_PIPELINE__ALERTS__CHANNELS__{str(name).upper()}__URL in the environment or the env file."
            )


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The one with the other laid over it, level by level."""
    laid = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(laid.get(key), dict)
        laid[key] = merged(laid[key], value) if both else value
    return laid


def line_of(location: tuple[int | str, ...], sources: list[Path]) -> str:
    """Where the deepest known part of a key stands, as " (file:line)"; empty when no file has it."""
    for source in reversed(sources):
        node, line = yaml.compose(source.read_text(encoding="utf-8")), 0
        for part in location:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            match = next((pair for pair in pairs if pair[0].value == str(part)), None)
            if match is None:
                break
            node, line = match[1], match[0].start_mark.line + 1
        else:
            return f" ({source.name}:{line})"
    return ""
