"""Small charts as inline SVG: a few lines of markup each, coloured by the page's own classes, no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.reports import ClosingEquity, PriceBar, TradeChart

EXCHANGE = ZoneInfo("America/New_York")
STANDALONE = (
    "text{font:11px system-ui,sans-serif;fill:#6b7280}.grid{stroke:#9ca3af;stroke-opacity:.3}"
    ".line{fill:none;stroke:#2563eb;stroke-width:2}.area{fill:#2563eb;fill-opacity:.1}"
    ".base{stroke:#6b7280;stroke-dasharray:3 3}.dot{fill:#2563eb;fill-opacity:0}"
)
"""Style of a chart that stands outside the page."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot area inside a picture (pixels), and the ranges it shows."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: int = 56
    right: int = 20
    top: int = 10
    bottom: int = 22

    def x(self, value: float) -> float:
        """Horizontal pixel of a value."""
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low) * (self.width - self.left - self.right), 2)

    def y(self, value: float) -> float:
        """Vertical pixel of a value."""
        low, high = self.y_range
        return round(self.top + (high - value) / (high - low) * (self.height - self.top - self.bottom), 2)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers from low to high."""
    span = (high - low) / max(count, 1)
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= span * (1 - 1e-9))
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def padded(values: Iterable[float], least: float, share: float = 0.08) -> tuple[float, float]:
    """The range of the values with air around it, at least `least` wide."""
    known = list(values)
    low, high = min(known), max(known)
    air = max((high - low) * share, (least - (high - low)) / 2, 0.0)
    return low - air, high + air


def equity_svg(points: Sequence[EquityPoint], *, width: int = 1040, height: int = 240) -> Markup:
    """Account value over one session as a line over its first value; empty markup without points.

    It carries its own plain style, so that it can stand alone as a data URI; inside the page the page's style wins.
    """
    if not points:
        return Markup("")
    spots = [(point.at.timestamp(), float(point.equity_usd)) for point in points]
    titles = [f"{_clock(point.at)}  {point.equity_usd:,.2f} USD" for point in points]
    frame = _frame_of(spots, width, height)
    return _line_chart(frame, "Account value over the session", spots, titles, _hours(frame, [p.at for p in points]))


def closings_svg(closings: Sequence[ClosingEquity], *, width: int = 1040, height: int = 180) -> Markup:
    """Closing account value session by session, from the first opening on; empty markup without sessions."""
    if not closings:
        return Markup("")
    opening = float(closings[0].equity_usd) / (1.0 + closings[0].return_fraction)
    spots = [(0.0, opening), *((number, float(close.equity_usd)) for number, close in enumerate(closings, 1))]
    titles = ["start", *(f"{c.session}  {c.equity_usd:,.2f} USD ({c.return_fraction:+.2%})" for c in closings)]
    frame = _frame_of(spots, width, height)
    step = math.ceil(len(closings) / 8)
    labels = [
        _text(frame.x(number), height - 6, f"{close.session:%-d %b}", "middle")
        for number, close in enumerate(closings, 1)
        if (len(closings) - number) % step == 0
    ]
    return _line_chart(frame, "Closing account value by session", spots, titles, labels)


def _frame_of(spots: Sequence[tuple[float, float]], width: int, height: int) -> Frame:
    """Room for a line of values, never so close that cents fill the picture."""
    first, last, values = spots[0][0], spots[-1][0], [value for _, value in spots]
    y_range = padded(values, max(values[0] * 1e-4, 1.0))
    return Frame(width, height, (first, max(last, first + 1)), y_range, left=72)


def _line_chart(
    frame: Frame, label: str, spots: Sequence[tuple[float, float]], titles: Sequence[str], marks: Iterable[str]
) -> Markup:
    """A line over its first value, with a titled spot per value."""
    drawn = [(frame.x(at), frame.y(value)) for at, value in spots]
    floor, end = frame.height - frame.bottom, frame.width - frame.right
    path = " ".join(f"{x},{y}" for x, y in drawn)
    area = f"{drawn[0][0]},{floor} {path} {drawn[-1][0]},{floor}"
    parts = [
        f"<style>{STANDALONE}</style>",
        *_grid(frame, "{:,.0f}" if frame.y_range[1] - frame.y_range[0] > 8 else "{:,.2f}"),
        *marks,
        f'<polygon class="area" points="{area}"/>',
        f'<line class="base" x1="{frame.left}" x2="{end}" y1="{drawn[0][1]}" y2="{drawn[0][1]}"/>',
        f'<polyline class="line" points="{path}"/>',
        *(_dot(spot, title) for spot, title in zip(drawn, titles, strict=True)),
    ]
    return _picture(frame, label, parts)


def trade_svg(chart: TradeChart, *, width: int = 500, height: int = 230) -> Markup:
    """The session's bars of one trade with entry, exit, stop and target marked; empty markup without bars."""
    if not chart.bars:
        return Markup("")
    trade = chart.trade
    known = {"target": trade.target, "stop": trade.initial_stop}
    levels = {name: float(level) for name, level in known.items() if level is not None}
    prices = [*levels.values(), float(trade.entry_px), float(trade.exit_px)]
    prices += [price for bar in chart.bars for price in (bar.low, bar.high)]
    first, last = chart.bars[0].start.timestamp(), chart.bars[-1].end.timestamp()
    frame = Frame(width, height, (first, last), padded(prices, 0.05), right=52)
    marks = (("entry", trade.entry_at, trade.entry_px), ("exit", trade.exit_at, trade.exit_px))
    inside = [(name, at, float(px)) for name, at, px in marks if first <= at.timestamp() <= last]
    parts = [
        *_grid(frame, "{:,.2f}"),
        *_hours(frame, [bar.start for bar in chart.bars], every=2),
        *(_level(frame, name, price) for name, price in levels.items()),
        *(_candle(frame, bar) for bar in chart.bars),
        *(_mark(frame, name, at, price) for name, at, price in inside),
    ]
    return _picture(
        frame, f"{trade.symbol}: price over the session with {', '.join(['entry', 'exit', *levels])}", parts
    )


def _picture(frame: Frame, label: str, parts: Iterable[str]) -> Markup:
    size = f'viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}" height="{frame.height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{escape(label)}" {size}>'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704  every text in it is escaped where it is written


def _grid(frame: Frame, form: str) -> Iterable[str]:
    for value in ticks(*frame.y_range):
        y = frame.y(value)
        yield f'<line class="grid" x1="{frame.left}" x2="{frame.width - frame.right}" y1="{y}" y2="{y}"/>'
        yield _text(frame.left - 8, y + 4, form.format(value), "end")


def _hours(frame: Frame, instants: Sequence[datetime], every: int = 1) -> Iterable[str]:
    """Exchange hours that fall on an instant shown, below the plot."""
    for at in instants:
        local = at.astimezone(EXCHANGE)
        if local.minute == 0 and local.hour % every == 0:
            yield _text(frame.x(at.timestamp()), frame.height - 6, f"{local:%H:%M}", "middle")


def _text(x: float, y: float, text: str, anchor: str, style: str = "axis") -> str:
    return f'<text class="{style}" x="{x}" y="{round(y, 2)}" text-anchor="{anchor}">{escape(text)}</text>'


def _clock(at: datetime) -> str:
    return f"{at.astimezone(EXCHANGE):%H:%M}"


def _dot(spot: tuple[float, float], title: str) -> str:
    return f'<circle class="dot" cx="{spot[0]}" cy="{spot[1]}" r="7"><title>{escape(title)}</title></circle>'


def _level(frame: Frame, name: str, price: float) -> str:
    y, end = frame.y(price), frame.width - frame.right
    spot = f'class="level {name}" x1="{frame.left}" x2="{end}" y1="{y}" y2="{y}"'
    return f"<line {spot}><title>{name} {price:.2f}</title></line>" + _text(
        end + 6, y + 4, name, "start", f"tag {name}"
    )


def _candle(frame: Frame, bar: PriceBar) -> str:
    middle = frame.x((bar.start.timestamp() + bar.end.timestamp()) / 2)
    half = min(max((frame.x(bar.end.timestamp()) - frame.x(bar.start.timestamp())) * 0.32, 1.0), 6.0)
    top, foot = frame.y(max(bar.open, bar.close)), frame.y(min(bar.open, bar.close))
    way = "up" if bar.close >= bar.open else "down"
    title = f"{_clock(bar.start)}  open {bar.open:.2f}, high {bar.high:.2f}, low {bar.low:.2f}, close {bar.close:.2f}"
    return (
        f'<g class="candle {way}"><title>{escape(title)}</title>'
        f'<line x1="{middle}" x2="{middle}" y1="{frame.y(bar.high)}" y2="{frame.y(bar.low)}"/>'
        f'<rect x="{round(middle - half, 2)}" y="{top}" width="{round(2 * half, 2)}" '
        f'height="{round(max(foot - top, 1.0), 2)}"/></g>'
    )


def _mark(frame: Frame, name: str, at: datetime, price: float) -> str:
    """A triangle at the fill: pointing up below an entry, down above an exit."""
    x, y, way = frame.x(at.timestamp()), frame.y(price), 1 if name == "entry" else -1
    near, far = round(y + way * 3, 2), round(y + way * 14, 2)
    tip = f"{x},{near} {round(x - 6, 2)},{far} {round(x + 6, 2)},{far}"
    title = f"{name} {_clock(at)} at {price:.4f}"
    return f'<polygon class="mark {name}" points="{tip}"><title>{escape(title)}</title></polygon>'
