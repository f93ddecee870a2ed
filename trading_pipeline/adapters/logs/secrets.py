"""Which values of this process are secret: those of the settings, and what the environment names so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from trading_pipeline.adapters.logs.redaction import REDACTOR, Redactor
from trading_pipeline.domain.alert_rules import AlertRules

NAMED_SECRET = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY|KEY_?ID", re.IGNORECASE
)
ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
NAMED_CHANNEL = re.compile(r"ALERTS__CHANNELS__.+__URL$")
SHORTEST_TOKEN = 8
SHORTEST_GUESS = 6
"""An environment variable that only sounds like a secret and is shorter is a switch or a number."""


def know_secrets(
    settings: BaseModel | None = None, environ: Mapping[str, str] | None = None, redactor: Redactor = REDACTOR
) -> None:
    """Let the redactor know every secret of the settings and of the environment."""
    redactor.learn(*secrets_of_environment(os.environ if environ is None else environ))
    if settings is not None:
        redactor.learn(*secrets_of_settings(settings))


def secrets_of_settings(model: BaseModel) -> Iterator[str]:
    """The value of every SecretStr, however deep; of an address also its password alone."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, AlertRules):
            for channel in value.channels.values():
                yield from _of_channel(channel.url.get_secret_value())
        elif isinstance(value, BaseModel):
            yield from secrets_of_settings(value)
        elif isinstance(value, SecretStr):
            yield from _parts(value.get_secret_value())


def secrets_of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Values of variables named like a secret, and passwords in addresses whatever they are named."""
    for name, value in environ.items():
        if NAMED_CHANNEL.search(name):
            yield from _of_channel(value)
        elif ADDRESS.match(value):
            yield from _passwords(value)
        elif NAMED_SECRET.search(name) and len(value) >= SHORTEST_GUESS:
            yield value


def _parts(secret: str) -> Iterator[str]:
    """An address without a password holds no secret."""
    if ADDRESS.match(secret):
        yield from _passwords(secret)
    else:
        yield secret


def _of_channel(address: str) -> Iterator[str]:
    """All of a channel's address, and of its parts the password and what looks like a token: few letters alone do not.

    Services put their tokens where a host, a path or a query would be.
    """
    yield from (address, *_passwords(address))
    rest = address.partition("://")[2]
    yield from (text for part in re.split(r"[/?&=:@]", rest) if _is_token(text := unquote(part)))


def _is_token(text: str) -> bool:
    """Long enough, no host name, no plain word."""
    is_word = text.isalpha() and (text.islower() or text.istitle())
    return len(text) >= SHORTEST_TOKEN and "." not in text and not is_word


def _passwords(address: str) -> Iterator[str]:
    try:
        password = urlsplit(address).password
    except ValueError:  # no address after all: all of it may be secret
        password = address
    if password:
        yield password
        yield unquote(password)
