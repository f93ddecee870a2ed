"""The benchmarks as one Markdown page: what was measured, on what, against which target, and what fell short."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from trading_pipeline_tests.benchmarks.harness import Result
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.benchmarks.stored import home_name

PACKAGES = ("numpy", "pandas", "ta-lib", "pyarrow", "SQLAlchemy", "pydantic")
HEADER = ("what", "median CPU s", "spread", "peak MB", "figure", "target", "met")

_HOW = (
    "CPU seconds are those of all threads, medians over repeats, without the start of Python and its imports. The peak "
    "is that of the process, which does nothing but this benchmark and its preparation. All data are synthetic "
    "(seed 7). Nothing has been tuned beyond plain vectorisation."
)
_WHAT = (
    "A scan is made at the last bar close of a session: universe, roll-ups, indicators on 15min, 1h, 4h and 1d, coarse "
    "screen, regime and SABR20 of all the session's snapshots, written to the research store and the ledger. It reads "
    "20 sessions of 15min, 60 of 1h and all 115 stored of 4h and 1d. The literal SABR20 is timed on its own data "
    "structure, already built."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. met None: there is no target."""

    what: str
    cpu_s: Sequence[float]
    median_s: float
    peak_mb: float
    figure: str
    target: str = "none yet"
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """The line's text by column."""
        spread = f"{min(self.cpu_s):.3g} to {max(self.cpu_s):.3g}"
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return (self.what, f"{self.median_s:.3g}", spread, f"{self.peak_mb:,.0f}", self.figure, self.target, met)


def rows_of(results: Mapping[str, Result], sizes: Sizes) -> list[Row]:
    """Every line, in the order of the page."""
    return [
        *_filled(results["fill"], sizes),
        *_scan(results["scan"], sizes),
        *_kernels(results),
        _replay(results["replay"], sizes),
        *_read(results["read"], sizes),
    ]


def _row(result: Result, name: str, what: str, figure: str, target: str = "none yet", met: bool | None = None) -> Row:
    return Row(what, result.cpu_s[name], result.median(name), result.peak_mb, figure, target, met)


def _filled(fill: Result, sizes: Sizes) -> list[Row]:
    name = home_name(sizes.scan_market)
    bars, seconds = fill.counts[name], fill.median(name)
    return [_row(fill, name, f"make and store {bars:,.0f} base bars", f"{bars / seconds:,.0f} bars/s")]


def _scan(scan: Result, sizes: Sizes) -> list[Row]:
    market, target = sizes.scan_market, "≤ 30 s for 1,000 symbols; ≤ 2 GB"
    work = f"store → watchlist, {market.symbols:,} symbols × 3 timeframes × 60 sessions of 1h history, from 5min bars"
    figure = f"{scan.counts['snapshots']:.0f} snapshots, {scan.counts['setups']:,.0f} setups"
    return [
        _row(scan, state, f"{work}, {note}", figure, target, scan.median(state) <= 30 and scan.peak_mb <= 2048)
        for state, note in (("cold", "new process"), ("warm", "only the newest session changed"))
    ]


def _kernels(results: Mapping[str, Result]) -> list[Row]:
    one, two = results["indicators"], results["sabr20"]
    size = f"{one.counts['symbols']:,.0f} × {one.counts['bars']:,.0f} bars, 19 outputs"
    against_talib = one.median("talib") / one.median("ours")
    ours_s = two.median("ours") / two.counts["candidates"]
    oracle_s = two.median("oracle") / two.counts["oracle_candidates"]
    return [
        _row(one, "talib", f"bare TA-Lib loop, {size}", "1×"),
        _row(one, "ours", f"indicator pass, {size}", f"{against_talib:.2f}× TA-Lib", "≥ 1×", against_talib >= 1),
        _row(two, "oracle", f"literal SABR20, {two.counts['oracle_candidates']:,.0f} candidates",
             f"{oracle_s * 1e6:,.0f} µs a candidate"),
        _row(two, "ours", f"vectorised SABR20, {two.counts['candidates']:,.0f} candidates, same numbers",
             f"{ours_s * 1e6:,.1f} µs a candidate, {oracle_s / ours_s:,.0f}× literal", "≥ 100×",
             oracle_s / ours_s >= 100),
    ]  # fmt: skip


def _replay(replay: Result, sizes: Sizes) -> Row:
    counts, seconds = replay.counts, replay.median("replay")
    faster = counts["session_s"] / seconds
    figure = (
        f"{counts['steps'] / seconds:,.0f} steps/s, {faster:,.0f}× real time, "
        f"{counts['ledger_rows']:.0f} ledger rows, {counts['fills']:.0f} fills"
    )
    market = sizes.demo_market
    what = f"replay one session, {market.symbols} symbols, {market.timeframe} bars, full ledger"
    return _row(replay, "replay", what, figure, "≥ 50× real time", faster >= 50)


def _read(read: Result, sizes: Sizes) -> list[Row]:
    symbols = sizes.read_market.symbols + 4  # and the index funds
    work = f"view {sizes.read_sessions} sessions × {symbols} symbols of 1min bars as 15min, 1h, 4h and 1d"
    figure = f"{read.counts['rows']:,.0f} rows"
    return [_row(read, "cold", f"{work}, cold", figure), _row(read, "warm", f"{work}, again", figure)]


def page(rows: Sequence[Row], at: datetime) -> str:
    """The whole page."""
    short = [row.what for row in rows if row.met is False]
    lines = [
        "# Benchmarks",
        "",
        f"Measured {at:%Y-%m-%d %H:%M} UTC with `make bench`, which writes this page.",
        "",
        _HOW,
        "",
        *_table(HEADER, [row.cells() for row in rows]),
        "",
        _WHAT,
        "",
        "## What fell short",
        "",
        *([f"- {what}" for what in short] or ["Nothing of what has a target here."]),
        "- Not measured yet: 2,000 symbols in 5 s, incremental indicators, peers besides TA-Lib, intents per second.",
        "",
        "## Where",
        "",
        *_table(("part", "version"), _machine()),
        "",
    ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _machine() -> list[tuple[str, str]]:
    packages = [(name, version(name)) for name in PACKAGES]
    system = f"{platform.system()} {platform.machine()}"
    return [("Python", platform.python_version()), *packages, ("system", system), ("CPU", _cpu())]


def _cpu() -> str:
    """Model and number of cores; only Linux tells the model by a file."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown model")
    return f"{model}, {os.cpu_count()} cores"
