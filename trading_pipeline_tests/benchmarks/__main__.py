"""python -m trading_pipeline_tests.benchmarks: measure everything and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from trading_pipeline_tests.benchmarks import (
    alerting,
    auditing,
    kernels,
    sequencing,
    stopping,
    stored,
    streaming,
    trading,
)
from trading_pipeline_tests.benchmarks.harness import Benchmark, Result, run_apart, run_here
from trading_pipeline_tests.benchmarks.page import load, measured, page, save
from trading_pipeline_tests.benchmarks.sizes import SIZES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
FIGURES = Path(__file__).with_name("figures.json")
BENCHMARKS: dict[str, Benchmark] = {
    "fill": stored.fill_stores,
    "scan": stored.scan,
    "indicators": kernels.indicators,
    "sabr20": kernels.sabr20,
    "replay": stored.replay,
    "read": stored.read,
    "intents": trading.intents,
    "submissions": trading.submissions,
    "decision": trading.decision,
    "writes": trading.writes,
    "cycle": trading.cycle,
    "halt": stopping.halt,
    "killed": stopping.killed,
    "alerts": alerting.alerts,
    "audit": auditing.audit_verify,
    "append": sequencing.audit_append,
    "streaming": streaming.streaming,
}
ON_STORES = {"scan", "replay", "read"}
"""Read what `fill` has made."""
ONCE = {
    "fill", "intents", "submissions", "decision", "writes", "cycle", "halt", "killed", "alerts", "audit", "append",
    "streaming",
}  # fmt: skip
"""Repeated often enough in one process, or made once for the others."""


def measure(names: Sequence[str], size: str, folder: Path, processes: int) -> dict[str, Result]:
    """Each of the benchmarks in fresh processes."""
    results: dict[str, Result] = {}
    for name in names:
        sys.stderr.write(f"{name} ...\n")
        results[name] = run_apart(name, size, folder, 1 if name in ONCE else processes)
    return results


def chosen(only: str, *, has_stores: bool) -> list[str]:
    """The benchmarks named, in order; with those that read stores also the one that fills them. Raises ValueError."""
    wanted = {name.strip() for name in only.split(",")} if only else set(BENCHMARKS)
    unknown = sorted(wanted - BENCHMARKS.keys())
    if unknown:
        raise ValueError(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if wanted & ON_STORES and not has_stores:
        wanted.add("fill")
    return [name for name in BENCHMARKS if name in wanted]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trading_pipeline_tests.benchmarks", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the stores are; default: a temporary folder")
    parser.add_argument("--one", choices=BENCHMARKS, help="run one benchmark here and print its figures as JSON")
    parser.add_argument("--only", default="", help=f"some of {','.join(BENCHMARKS)}; other figures are kept")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes per benchmark")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where figures are kept for the next page")
    return parser


def main() -> None:
    """Without arguments: measure, write the page and show it."""
    parser = _parser()
    given = parser.parse_args()
    if given.one:
        if given.folder is None:
            parser.error("--one needs the folder with the stores")
        sys.stdout.write(run_here(BENCHMARKS[given.one], SIZES[given.size], given.folder) + "\n")
        return
    try:
        names = chosen(given.only, has_stores=given.folder is not None)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="trading-pipeline-bench-") as folder:
        results = measure(names, given.size, given.folder or Path(folder), given.processes)
    now, figures = datetime.now(UTC), load(given.figures)
    figures |= {name: measured(name, result, SIZES[given.size], now) for name, result in results.items()}
    save(given.figures, figures)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page(figures), encoding="utf-8")
    sys.stdout.write(page(figures))


if __name__ == "__main__":
    main()
