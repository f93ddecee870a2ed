"""Health as Prometheus metrics: base units in the names, one gauge per value, no sample where nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from trading_pipeline.domain.health import HealthReport

Family = GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily
PREFIX = "trading_pipeline_"
GAUGES: tuple[tuple[str, str, str, str], ...] = (
    ("database_up", "database", "up", "1 while the database answers"),
    ("loop_leading", "loop", "leading", "1 while a session loop holds the lease"),
    ("loop_heartbeat_age_seconds", "loop", "heartbeat_age_seconds", "Since the loop's last sign of life"),
    ("broker_connected", "broker", "connected", "1 when the broker answered the loop lately"),
    ("trading_allowed", "trading", "allowed", "1 while entries may leave"),
    ("blocks", "blocks", "count", "Symbols, or the account, that are blocked"),
    ("feed_age_seconds", "feed", "age_seconds", "Since the newest bar ended; only in session"),
    ("screening_age_seconds", "screening", "age_seconds", "Since the newest screening"),
    ("watchlist_age_seconds", "watchlist", "age_seconds", "Since the newest watchlist"),
    ("regime_score", "regime", "score", "Of the market, 0 to 100"),
    ("open_positions", "positions", "open", "Positions held"),
    ("open_risk_ratio", "risk", "open_ratio", "Part of equity lost if every stop is hit"),
    ("equity_usd", "risk", "equity_usd", "Newest equity on record"),
    ("reconcile_age_seconds", "reconcile", "age_seconds", "Since record and venue were last compared"),
    ("audit_entries", "audit", "entries", "Entries of the audit log"),
    ("audit_checkpoint_number", "audit", "checkpoint", "Of its newest signed checkpoint"),
    ("audit_checkpoint_age_seconds", "audit", "checkpoint_age_seconds", "Since that checkpoint"),
    ("audit_uncovered_age_seconds", "audit", "open_age_seconds", "Of the oldest entry without a checkpoint"),
    ("audit_relay_leading", "audit", "relay_leading", "1 while a relay numbers the audit log"),
    ("alerts_unacknowledged", "alerts", "unacknowledged", "CRITICAL alerts nobody has acknowledged"),
    ("alerts_oldest_age_seconds", "alerts", "oldest_age_seconds", "Since the oldest waiting alert could have left"),
    ("alert_channels_dead", "alerts", "channels_dead", "Channels of alerts that take no messages"),
    ("alerts_relay_leading", "alerts", "relay_leading", "1 while a relay delivers alerts"),
    ("orders_in_doubt", "queues", "in_doubt", "Orders nobody knows the outcome of"),
    ("oldest_unsent_order_age_seconds", "queues", "unsent_age_seconds", "Of the order that waits longest to leave"),
    ("errors_last_hour", "errors", "last_hour", "Alarms and log lines of level error and above"),
    ("disk_free_bytes", "disk", "free_bytes", "Where the home is"),
    ("clock_skew_seconds", "clock", "skew_seconds", "The broker's clock less ours"),
    ("processes_down", "processes", "down", "Supervised processes that should run and do not"),
)
"""Metric, finding, what was measured, help."""
QUEUES = ("audit", "alerts", "unsent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One report, how long ago it was read, how long that took, and how many were read so far."""

    report: HealthReport
    age_seconds: float
    took_seconds: float
    readings: int


def metrics_text(reading: Reading | None, facts: Mapping[str, str]) -> bytes:
    """All metrics in Prometheus' text format. facts: of the build; reading None: only those."""
    registry = CollectorRegistry()
    registry.register(_Once(reading, facts))
    return generate_latest(registry)


@dataclass(frozen=True, eq=False)
class _Once(Collector):
    reading: Reading | None
    facts: Mapping[str, str]

    def collect(self) -> Iterator[Family]:
        yield InfoMetricFamily(f"{PREFIX}build", "What runs here", value=dict(self.facts))
        if self.reading is not None:
            yield from _about(self.reading)
            yield from _levels(self.reading.report)
            yield from _values(self.reading.report)


def _about(reading: Reading) -> Iterator[Family]:
    yield CounterMetricFamily(f"{PREFIX}health_readings_total", "Times health was read", value=reading.readings)
    yield GaugeMetricFamily(f"{PREFIX}health_reading_age_seconds", "Since health was read", value=reading.age_seconds)
    yield GaugeMetricFamily(f"{PREFIX}health_reading_seconds", "How long that took", value=reading.took_seconds)


def _levels(report: HealthReport) -> Iterator[Family]:
    each = GaugeMetricFamily(f"{PREFIX}health_level", "0: ok, 1: warning, 2: failure", labels=["check"])
    for finding in report.findings:
        each.add_metric([finding.name], finding.level.severity)
    yield each
    yield GaugeMetricFamily(f"{PREFIX}health_worst_level", "The worst of all checks", value=report.level.severity)


def _values(report: HealthReport) -> Iterator[Family]:
    measured = {finding.name: finding.measured for finding in report.findings}
    for name, finding, key, words in GAUGES:
        value = measured[finding].get(key)
        if value is not None:
            yield GaugeMetricFamily(f"{PREFIX}{name}", words, value=value)
    token = measured["loop"].get("lease_token")
    if token is not None:
        yield CounterMetricFamily(f"{PREFIX}lease_takings_total", "Times the lease changed hands", value=token)
    if any(name in measured["queues"] for name in QUEUES):
        waiting = GaugeMetricFamily(f"{PREFIX}queue_entries", "Entries of a queue", labels=["queue"])
        for name in QUEUES:
            waiting.add_metric([name], measured["queues"].get(name) or 0.0)
        yield waiting
