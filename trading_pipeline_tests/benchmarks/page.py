"""The benchmarks as one Markdown page: what was measured, when, against which target, and what fell short."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from trading_pipeline_tests.benchmarks.harness import Result
from trading_pipeline_tests.benchmarks.rows import ROWS, Row, rows_of
from trading_pipeline_tests.benchmarks.sizes import Sizes

PACKAGES = ("numpy", "pandas", "ta-lib", "pyarrow", "SQLAlchemy", "psycopg2-binary", "pydantic")
HEADER = ("what", "median CPU s", "spread", "peak MB", "figure", "target", "met", "measured")

NOT_YET = "2,000 symbols in 5 s, incremental indicators, peers besides TA-Lib, 2,000 events a second for 10 minutes"

_HOW = (
    "CPU seconds are those of all threads, medians over repeats, without the start of Python and its imports. The peak "
    "is that of the process, which does nothing but this benchmark and its preparation. All data are synthetic "
    "(seed 7). p99 is of elapsed time. Where a peer is named, it and ours take turns in one run, and the figure is the "
    'median of the pairs. `make bench ARGS="--only intents,cycle"` measures some anew and keeps the other figures.'
)
_WHAT = (
    "A scan is made at the last bar close of a session: universe, roll-ups, indicators on 15min, 1h, 4h and 1d, coarse "
    "screen, regime and SABR20 of all the session's snapshots, written to the research store and the ledger. It reads "
    "20 sessions of 15min, 60 of 1h and all 115 stored of 4h and 1d. The literal SABR20 is timed on its own data "
    "structure, already built.\n\n"
    "Intents come in executions of ten, as many as one may enter, and share three durable commits: intents with their "
    "entries, stops and targets; the claims; the acknowledgements. The bound is the driver alone, under the ledger's "
    "own settings, making as many commits of as many bytes, each in one row. How near we come to it depends on how "
    "long the disk takes for a commit: the time from which it would be 80 % is computed from what was measured here, "
    "not measured. The write ratio compares with the driver sending the very statements and parameters we send, made "
    "before: what is left is the making of them, and where ten intents share commits and statements that weighs more, "
    "though it is less for each. Through the services an intent is also "
    "planned, checked against the book and, before it is sent, looked at once more, each by itself; the watchlists "
    "are on record before. The venue answers at once, and the pacer grants its highest rates (50 orders a second on "
    "the session's clock): at the 5 a second that are the default, an execution's orders leave in two rounds and five "
    "commits. SQLite and PostgreSQL are both durable (fsync). A round of the session loop marks every position at a "
    "new price, raises a stop, compares record and venue when that is due, looks for exits and at every stop, and "
    "sends what is due; the venue is simulated, in the same process."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one benchmark gave, when (UTC), and on which machine and versions."""

    at: str
    where: Mapping[str, str]
    rows: Sequence[Row]


def measured(name: str, result: Result, sizes: Sizes, at: datetime) -> Measured:
    """One benchmark's figures as of now."""
    rows = [shortened(row) for row in rows_of(name, result, sizes)]
    return Measured(f"{at:%Y-%m-%d %H:%M}", dict(machine()), rows)


def shortened(row: Row) -> Row:
    """Without the repeats between the fastest and the slowest."""
    return Row(**{**asdict(row), "cpu_s": [round(min(row.cpu_s), 6), round(max(row.cpu_s), 6)]})


def load(path: Path) -> dict[str, Measured]:
    """The figures kept in a file; none where there is none."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Measured(one["at"], one["where"], [Row(**row) for row in one["rows"]]) for name, one in known.items()}


def save(path: Path, figures: Mapping[str, Measured]) -> None:
    """Keep the figures for the next page."""
    text = json.dumps({name: asdict(one) for name, one in figures.items()}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def page(figures: Mapping[str, Measured]) -> str:
    """The whole page; the machine is that of the newest figures."""
    ordered = [figures[name] for name in ROWS if name in figures]
    short = [row.what for one in ordered for row in one.rows if row.met is False]
    newest = max(ordered, key=lambda one: one.at)
    elsewhere = sorted({one.at for one in ordered if one.where != newest.where})
    lines = [
        "# Benchmarks",
        "",
        f"Last measured {newest.at} UTC with `make bench`, which writes this page.",
        "",
        _HOW,
        "",
        *_table(HEADER, [row.cells(one.at) for one in ordered for row in one.rows]),
        "",
        _WHAT,
        "",
        "## What fell short",
        "",
        *([f"- {what}" for what in short] or ["Nothing of what has a target here."]),
        f"- Not measured yet: {NOT_YET}.",
        "",
        "## Where",
        "",
        *_table(("part", "version"), list(newest.where.items())),
        "",
        *([f"Figures of {', '.join(elsewhere)} were taken with other versions or elsewhere.", ""] if elsewhere else []),
    ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def machine() -> list[tuple[str, str]]:
    """Versions and machine of this process."""
    packages = [(name, version(name)) for name in PACKAGES]
    system = f"{platform.system()} {platform.machine()}"
    return [("Python", platform.python_version()), *packages, ("system", system), ("CPU", _cpu())]


def _cpu() -> str:
    """Model and number of cores; only Linux tells the model by a file."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown model")
    return f"{model}, {os.cpu_count()} cores"
