"""Health by HTTP, for machines that watch: /healthz for supervisors, /metrics for Prometheus.

A thread reads the health every few seconds, so that whoever asks waits for nothing. Does it stop reading (a database or
disk that hangs), the page says so and is unhealthy.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic, perf_counter

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trading_pipeline.adapters.health_metrics import Reading, metrics_text
from trading_pipeline.adapters.logs.redaction import REDACTOR
from trading_pipeline.domain.health import HealthReport, Level

HEALTHY, UNHEALTHY = 200, 503
LATE = 3
"""Readings that may be missed before the page is unhealthy: one slow one is no reason to restart anything."""
log = logging.getLogger(__name__)


@dataclass
class Watcher:
    """Reads the health again and again. read: may take long, and is called by one thread only."""

    read: Callable[[], HealthReport]
    every_seconds: float
    elapsed: Callable[[], float] = monotonic
    _newest: tuple[HealthReport, float, float] | None = None
    _readings: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Read once, then go on in a thread of its own."""
        self.look()
        threading.Thread(target=self._run, name="health", daemon=True).start()

    def stop(self) -> None:
        """No more readings are begun."""
        self._ended.set()

    def look(self) -> None:
        """Read once more."""
        began = perf_counter()
        report = self.read()
        self._readings += 1
        before = self._newest[0].level if self._newest else Level.OK
        self._newest = report, self.elapsed(), perf_counter() - began
        if report.level is not before:
            bad = ", ".join(one.name for one in report.findings if one.level is report.level)
            log.log(LOUDNESS[report.level], "health is %s: %s", report.level.value, bad)

    def reading(self) -> Reading | None:
        """The newest one and its age; None before the first."""
        if self._newest is None:
            return None
        report, at, took = self._newest
        return Reading(report=report, age_seconds=self.elapsed() - at, took_seconds=took, readings=self._readings)

    def _run(self) -> None:
        while not self._ended.wait(self.every_seconds):
            self.look()


LOUDNESS: Mapping[Level, int] = {Level.OK: logging.INFO, Level.WARN: logging.WARNING, Level.FAIL: logging.ERROR}


def health_app(watcher: Watcher, facts: Mapping[str, str], hosts: list[str]) -> Starlette:
    """The pages. facts: of the build. hosts: names by which they may be asked for ("*": any)."""

    async def healthz(_request: Request) -> Response:
        reading = watcher.reading()
        is_late = reading is None or reading.age_seconds > LATE * watcher.every_seconds + reading.took_seconds
        is_well = reading is not None and not is_late and reading.report.level is not Level.FAIL
        return Response(
            REDACTOR(json.dumps(_document(reading, is_late))), HEALTHY if is_well else UNHEALTHY,
            {"Cache-Control": "no-store"}, "application/json",
        )  # fmt: skip

    async def metrics(_request: Request) -> Response:
        return Response(metrics_text(watcher.reading(), facts), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", healthz), Route("/metrics", metrics)]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])


def _document(reading: Reading | None, is_late: bool) -> dict[str, object]:
    if reading is None:
        return {"status": Level.FAIL.value, "says": "health was not read yet"}
    report = reading.report
    late = {"says": f"health was last read {reading.age_seconds:.0f} s ago: reading it hangs"} if is_late else {}
    return {
        "status": Level.FAIL.value if is_late else report.level.value, **late, "at": report.at.isoformat(),
        "age_seconds": round(reading.age_seconds, 3),
        "findings": {
            one.name: {"level": one.level.value, "says": one.says, "advice": one.advice} for one in report.findings
        },
    }  # fmt: skip
