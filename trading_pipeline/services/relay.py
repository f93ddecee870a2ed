"""What carries the outbox on, off the trading path: workers in threads of their own, each under its own lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from trading_pipeline.domain.control import Lease


class Worker(Protocol):
    """One part of the relay. Made anew each time its lease is taken, with a ledger fenced by it."""

    @property
    def name(self) -> str:
        """Its lease's name too: `audit`, `alerts`."""

    def step(self) -> timedelta:
        """Do what is due, in bounded time, and return how long until it wants to be called again.

        It is called again at once where that is zero, and always from the same thread. What it raises of the project's
        errors is said once and tried again with growing waits; LeaseLost makes the relay begin a new worker.
        """

    def end(self) -> None:
        """The last thing of a clean end: after the last step, while the lease is still held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A worker's place in the relay: the name of its lease, and what makes the worker once the lease is held."""

    name: str
    begin: Callable[[Lease], Worker]
