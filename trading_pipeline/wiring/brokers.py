"""Brokers as configured: the one place that names their adapters."""

from __future__ import annotations

from pathlib import Path

from trading_pipeline.settings import Settings
from trading_pipeline.wiring.venues import Connect

IDS = "{broker}-ids.sqlite3"
"""File in the home that joins a broker's order ids to ours."""


def broker_connection(settings: Settings, home: Path) -> Connect | None:
    """What connects to the configured broker; None for the simulated venue. Nothing is opened yet."""
    return None
