"""Which session, snapshot, intent, order and run the work in hand is for: every log line of it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})
_IDS: ContextVar[Mapping[str, str]] = ContextVar("trading_pipeline_ids", default=NOTHING)


@contextmanager
def working_on(**ids: object) -> Iterator[None]:
    """Bind ids (session, snapshot, intent, order, run, account) while the block runs, in this thread or task only.

    What was bound outside stays bound; empty ids and None bind nothing.
    """
    known = {name: str(one) for name, one in ids.items() if one not in {None, ""}}
    token = _IDS.set({**_IDS.get(), **known})
    try:
        yield
    finally:
        _IDS.reset(token)


def correlation() -> Mapping[str, str]:
    """The ids bound here and now."""
    return _IDS.get()
