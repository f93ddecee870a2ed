"""Small bar pictures for asset metadata, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

ROW, LABEL, WIDTH, VALUE = 22, 170, 520, 60
INK, FILL = "#334155", "#6366f1"


def bars_svg(values: Mapping[str, float], *, most: float | None = None) -> str:
    """Horizontal bars, one per entry in the given order; `most` is the full width (default: the largest value)."""
    full = max([most or 0.0, *values.values(), 1e-9])
    rows = [_row(number, name, value, value / full) for number, (name, value) in enumerate(values.items())]
    height = ROW * max(1, len(rows)) + 8
    total = LABEL + WIDTH + VALUE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" viewBox="0 0 {total} {height}" '
        f'font-family="system-ui,sans-serif" font-size="12">{"".join(rows)}</svg>'
    )


def _row(number: int, name: str, value: float, share: float) -> str:
    top = number * ROW + 4
    width = max(1.0, share * WIDTH)
    shown = f"{value:g}" if value == int(value) else f"{value:.1f}"
    return (
        f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end" fill="{INK}">{escape(name)}</text>'
        f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{ROW - 6}" rx="2" fill="{FILL}"/>'
        f'<text x="{LABEL + width + 6:.1f}" y="{top + 13}" fill="{INK}">{shown}</text>'
    )
