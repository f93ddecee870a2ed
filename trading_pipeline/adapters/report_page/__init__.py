"""One session's report as a single HTML file that asks nothing of the network."""

from __future__ import annotations

import os
import tempfile
from decimal import Decimal
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from trading_pipeline.adapters.report_page import charts, figures
from trading_pipeline.adapters.report_page.charts import equity_svg, trade_svg
from trading_pipeline.analytics.sabr20_rules import COMPONENTS, RAW_MAX
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.reports import SessionReport

__all__ = ["equity_svg", "render_report", "trade_svg", "write_report"]

FILTERS = ("usd", "signed_usd", "price", "shares", "percent", "signed_percent", "rate", "multiple", "ratio", "clock")
REGIME_PARTS = ("trend", "volatility", "breadth", "correlation")


def write_report(path: Path, report: SessionReport) -> Path:
    """Write the page, whole or not at all; returns its path. The same report gives the same bytes.

    Raises DataFileError when the disk refuses.
    """
    return write_page(path, render_report(report))


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all; returns its path. Raises DataFileError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", encoding="utf-8", delete=False) as part:
            try:
                part.write(text)
                part.flush()
                os.fsync(part.fileno())
                Path(part.name).chmod(0o644)
                Path(part.name).replace(path)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except OSError as error:
        raise DataFileError(f"cannot write {path}: {error.strerror}. Check the disk and try again.") from error
    return path


def render_report(report: SessionReport) -> str:
    """The page as text. Everything that comes from data is escaped."""
    multiples = (abs(trade.r_multiple) for trade in report.trades if trade.r_multiple is not None)
    largest_r = max([Decimal(1), *multiples])  # a small loss looks small
    return template_environment().get_template("report.html.j2").render(
        report=report, day=report.daily, charts=charts, figures=figures, largest_r=largest_r,
        components=[(name, RAW_MAX[name]) for name in COMPONENTS], regime_parts=REGIME_PARTS,
    )  # fmt: skip


@cache
def template_environment() -> Environment:
    """The pages of this package, with their filters."""
    pages = Environment(
        loader=PackageLoader("trading_pipeline.adapters.report_page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update({name: getattr(figures, name) for name in (*FILTERS, "tone", "words")})
    return pages
