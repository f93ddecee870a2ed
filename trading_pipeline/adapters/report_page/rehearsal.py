"""The verdict over a rehearsal as a single HTML file that asks nothing of the network."""

from __future__ import annotations

from pathlib import Path

from trading_pipeline.adapters.report_page import template_environment, write_page
from trading_pipeline.domain.rehearsal import Verdict


def write_verdict(path: Path, verdict: Verdict) -> Path:
    """Write the page, whole or not at all; returns its path. Raises DataFileError when the disk refuses."""
    return write_page(path, template_environment().get_template("rehearsal.html.j2").render(verdict=verdict))
