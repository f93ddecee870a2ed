"""Passwords from a prompt, from a pipe or from the environment; never from an argument, and never shown."""

from __future__ import annotations

import sys

import typer
from pydantic import SecretStr

from trading_pipeline.adapters.logs.redaction import REDACTOR
from trading_pipeline.domain.errors import InputError
from trading_pipeline.env_file import environment

PASSWORD_VARIABLE = "TRADING_PIPELINE_OPERATOR_PASSWORD"  # noqa: S105  the name of a variable
NEW_PASSWORD_VARIABLE = "TRADING_PIPELINE_NEW_PASSWORD"  # noqa: S105


def ask_password(who: str) -> SecretStr:
    """The password of an operator: of the environment, else the next line of a pipe, else asked for."""
    return _asked(PASSWORD_VARIABLE, f"Password of {who}", confirm=False)


def ask_new_password(who: str) -> SecretStr:
    """A password that is to be set; typed twice where it is typed."""
    return _asked(NEW_PASSWORD_VARIABLE, f"New password of {who}", confirm=True)


def _asked(variable: str, prompt: str, *, confirm: bool) -> SecretStr:
    given = environment().get(variable) or _piped(variable)
    text = given if given is not None else _typed(prompt, confirm=confirm)
    REDACTOR.learn(text)
    return SecretStr(text)


def _piped(variable: str) -> str | None:
    if sys.stdin.isatty():
        return None
    line = sys.stdin.readline()
    if not line:
        raise InputError(f"no password: run it in a terminal, write it into the command's input, or set {variable}")
    return line.rstrip("\r\n")


def _typed(prompt: str, *, confirm: bool) -> str:
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
