"""What a run tells when it fails, without secrets: exceptions of libraries name addresses, and with them passwords."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from traceback import format_exception
from typing import ParamSpec, TypeVar, cast

import dagster as dg

from trading_pipeline.adapters.logs.redaction import REDACTOR
from trading_pipeline.domain.errors import TradingPipelineError

P = ParamSpec("P")
T = TypeVar("T")


def without_secrets(function: Callable[P, T]) -> Callable[P, T]:
    """What Dagster runs, so that no secret of this process stands in the error it puts on record.

    An error that tells none, itself and all it was raised from, is raised as it is.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generate(*args: P.args, **kwargs: P.kwargs) -> object:
            with _redacting():
                yield from function(*args, **kwargs)

        return cast("Callable[P, T]", generate)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with _redacting():
            return function(*args, **kwargs)

    return call


@contextmanager
def _redacting() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        told = _told(error)
        if told is error:
            raise
        raise told from None


def _told(error: Exception) -> Exception:
    """The error, or one in its place: with its words less the secrets, its trace, and nothing it was raised from."""
    text = "".join(format_exception(error))
    if REDACTOR(text) == text:
        return error
    words = REDACTOR(f"{type(error).__name__}: {error}")
    if isinstance(error, dg.Failure):
        return dg.Failure(REDACTOR(error.description or words), allow_retries=error.allow_retries)
    return TradingPipelineError(words).with_traceback(error.__traceback__)
