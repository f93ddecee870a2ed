"""The result of a week or a month as a single HTML file that asks nothing of the network."""

from __future__ import annotations

from pathlib import Path

from trading_pipeline.adapters.report_page import template_environment, write_page
from trading_pipeline.domain.period import PeriodPerformance


def write_period(path: Path, period: PeriodPerformance, title: str) -> Path:
    """Write the page, whole or not at all; returns its path. Raises DataFileError when the disk refuses."""
    page = template_environment().get_template("period.html.j2").render(period=period, title=title)
    return write_page(path, page)
