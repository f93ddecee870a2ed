"""A session's host as a process of its own, on a clock that is set to an instant of the session and then runs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.ports import Broker, Clock
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.services.monitor import MonitorState, read_monitor
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.venues import Access, Line
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.traded_home import TradedHome

FORK = multiprocessing.get_context("fork")
QUICK = LeaseRules(lease_seconds=3, renew_seconds=0.3, margin_seconds=0.5, hang_seconds=3.0)
PATIENT = QUICK.model_copy(update={"hang_seconds": 90.0})
Call = Callable[[str, Callable[[], object]], object]
"""What becomes of a call to the venue: its name, and what makes it."""


@dataclass(frozen=True)
class SetClock:
    """The machine's clock, set to another day."""

    ahead: timedelta

    @classmethod
    def at(cls, instant: datetime) -> SetClock:
        return cls(instant - SystemClock().now())

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def sleep_until(self, instant: datetime) -> None:
        SystemClock().sleep_until(instant - self.ahead)


@dataclass(frozen=True)
class DisturbedAccess:
    """A venue whose every call passes by somebody. Implements Access."""

    access: Access
    call: Call

    @property
    def market(self) -> Any:
        return self.access.market

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:
        line = self.access.line(clock, lease)
        broker: Broker = Wrapped(line.broker, self.call, name=line.broker.name)
        return replace(line, broker=broker)

    def close(self) -> None:
        self.access.close()


@dataclass(frozen=True)
class DisturbedWorkspace(Workspace):
    """A home whose venue is disturbed."""

    call: Call = lambda _, call: call()

    def access(self, venue_url: str | None = None, market_url: str | None = None) -> Access:
        return DisturbedAccess(super().access(venue_url, market_url), self.call)


def quick(made: TradedHome, at: datetime, call: Call, rules: LeaseRules) -> Workspace:
    """The home under a lease that is over soon, on a clock that starts at the instant."""
    opened = made.open()
    execution = opened.settings.execution.model_copy(update={"lease": rules})
    settings = opened.settings.model_copy(update={"execution": execution})
    return DisturbedWorkspace(opened.home, settings, clock=SetClock.at(at), call=call)


class HostProcess(AbstractContextManager["HostProcess"]):
    """Hosts the running session of a home; `code` is how it ended."""

    def __init__(
        self, made: TradedHome, at: datetime, call: Call = lambda _, call: call(), rules: LeaseRules = QUICK
    ) -> None:
        self._made = made
        self._process = FORK.Process(target=self._host, args=(made, at, call, rules))

    def _host(self, made: TradedHome, at: datetime, call: Call, rules: LeaseRules) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        quick(made, at, call, rules).host(made.running)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive() and self._process.pid:
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.kill()
        self._process.join()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def ended(self, within_seconds: float) -> int:
        """Its exit code; fails when it has not ended in time."""
        self._process.join(within_seconds)
        assert self._process.exitcode is not None, f"it runs on after {within_seconds} s"
        return self._process.exitcode

    def monitor(self) -> MonitorState:
        """As anybody else sees the loop."""
        return read_monitor(self._made.open().ledger, "SIM", SystemClock().now())


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
