"""ui: the Dagster UI over this home; nothing starts by itself."""

from __future__ import annotations

import typer

from trading_pipeline.cli.context import Options
from trading_pipeline.cli.programs import UI_PORT, Plan
from trading_pipeline.cli.up import PortOption, keep_up


def ui(context: typer.Context, port: PortOption = UI_PORT) -> None:
    """Open the Dagster UI with schedules and sensors off, as `up --paused` does; Ctrl-C stops it."""
    keep_up(Plan.of(context.obj or Options(), port=port, automation=False))
