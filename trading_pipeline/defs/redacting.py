"""What a run tells, in its log and when it fails, without secrets: errors of libraries name addresses and passwords."""

import inspect
import logging
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
    """What Dagster runs, so that no secret of this process stands in the error or in the log lines it puts on record.

    An error that tells none, itself and all it was raised from, is raised as it is. The function's first argument, or
    the one of that name, is its context.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generate(*args: P.args, **kwargs: P.kwargs) -> object:
            _watch(*args[:1], kwargs.get("context"))
            with _redacting():
                yield from function(*args, **kwargs)

        return cast("Callable[P, T]", generate)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _watch(*args[:1], kwargs.get("context"))
        with _redacting():
            return function(*args, **kwargs)

    return call


class _WithoutSecrets(logging.Filter):
    """Lets every line pass, less the secrets in its words and in the traceback it carries."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True; the record is changed where it tells a secret."""
        text = record.getMessage()
        if REDACTOR(text) != text:
            record.msg, record.args = REDACTOR(text), ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(format_exception(record.exc_info[1]))
            if REDACTOR(trace) != trace:
                record.msg, record.args = f"{record.getMessage()}\n{REDACTOR(trace)}", ()
                record.exc_info = record.exc_text = None
        return True


WITHOUT_SECRETS = _WithoutSecrets()


def _watch(*contexts: object) -> None:
    """What a context's log is told leaves it without secrets; added once, however often it is asked for."""
    for context in contexts:
        told = getattr(context, "log", None)
        if isinstance(told, logging.Logger):
            told.addFilter(WITHOUT_SECRETS)


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
