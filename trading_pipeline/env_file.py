"""Variables from a file outside the repository, beneath those of the environment: for keys and passwords.

The file holds lines as NAME=VALUE; names begin with TRADING_PIPELINE, as in the environment. Nothing of it is put into
the environment, where other programs could see it; it is read anew whenever settings are, so that keys can be swapped
while everything runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from trading_pipeline.domain.errors import SettingsError

ENV_FILE_VARIABLE = "TRADING_PIPELINE_ENV_FILE"
PREFIX = "TRADING_PIPELINE"
NAMES = frozenset({f"{PREFIX}_{name}" for name in ("HOME", "CONFIG", "PROFILE", "ENV_FILE", "UI_PORT")})
"""Variables that are no settings."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def environment(environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The environment over the env file that it names, if any; a variable of both is the environment's.

    environ: default the process's own. Raises SettingsError for a file that cannot be read, that others may read, or
    with a line or a name of no use here.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(ENV_FILE_VARIABLE)
    return {**read_env_file(Path(named).expanduser()), **environ} if named else environ


def require_spelled(environ: Mapping[str, str], sections: Collection[str]) -> None:
    """Raise SettingsError for a variable that looks like one of ours and would be passed over.

    sections: names of the settings' uppermost level. A setting is set by TRADING_PIPELINE__ and nothing like it.
    """
    odd = [name for name in environ if _looks_like_a_setting(name, sections)]
    if odd:
        raise SettingsError(
            f"{len(odd)} variable(s) in the environment set nothing: {', '.join(sorted(odd)[:5])}. A setting is "
            f"written {PREFIX}__EXECUTION__MODE: in capitals, two underscores after {PREFIX} and between levels"
        )


def _looks_like_a_setting(name: str, sections: Collection[str]) -> bool:
    upper = name.upper()
    if not upper.startswith(PREFIX) or name.startswith(f"{PREFIX}__"):
        return False
    rest = upper.removeprefix(PREFIX).lstrip("_")
    is_known = name in NAMES
    return not is_known and ("__" in upper or any(rest.startswith(f"{one.upper()}_") for one in sections))


def read_env_file(path: Path) -> dict[str, str]:
    """The file's variables; raises SettingsError, which names variables and never repeats a value."""
    _require_private(path)
    try:
        with path.open(encoding="utf-8") as stream:
            lines = [line for line in parse_stream(stream) if line.key or line.error]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the env file {path} cannot be read as text: {type(error).__name__}.") from error
    wrong = [line.original.line for line in lines if line.error or line.value is None]
    useless = sorted({f"{line.key}" for line in lines if line.key and not line.key.startswith(PREFIX)})
    if wrong or useless:
        what = [*([f"line {', '.join(map(str, wrong))} not NAME=VALUE"] if wrong else []), *useless[:5]]
        raise SettingsError(
            f"the env file {path} has {len(wrong) + len(useless)} line(s) of no use here: {', '.join(what)}. Each "
            f"reads {PREFIX}__BROKER__ALPACA__KEY_ID=VALUE: the setting's name in capitals, __ between its levels. "
            "See the names: trading-pipeline config show"
        )
    return {str(line.key): line.value for line in lines if line.value is not None}


def _require_private(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise SettingsError(
            f"the env file {path} cannot be read: {error.strerror}. Name another with --env-file or {ENV_FILE_VARIABLE}"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"the env file {path} is no plain file.")
    if found.st_mode & OTHERS:
        raise SettingsError(f"others on this machine may read or write the env file {path}. Run: chmod 600 {path}")
    if found.st_uid not in {os.geteuid(), 0}:
        raise SettingsError(f"the env file {path} is user {found.st_uid}'s, not yours. Run: sudo chown $USER {path}")
