"""python -m trading_pipeline_tests.benchmarks: measure everything and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from trading_pipeline_tests.benchmarks import kernels, stored
from trading_pipeline_tests.benchmarks.harness import Benchmark, Result, run_apart, run_here
from trading_pipeline_tests.benchmarks.page import page, rows_of
from trading_pipeline_tests.benchmarks.sizes import SIZES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BENCHMARKS: dict[str, Benchmark] = {
    "fill": stored.fill_stores,
    "scan": stored.scan,
    "indicators": kernels.indicators,
    "sabr20": kernels.sabr20,
    "replay": stored.replay,
    "read": stored.read,
}


def measure_all(size: str, folder: Path, processes: int) -> dict[str, Result]:
    """Every benchmark; the first fills the stores that the others read, so it runs once."""
    results: dict[str, Result] = {}
    for name in BENCHMARKS:
        sys.stderr.write(f"{name} ...\n")
        results[name] = run_apart(name, size, folder, 1 if name == "fill" else processes)
    return results


def main() -> None:
    """Without arguments: measure, write the page and show it."""
    parser = argparse.ArgumentParser(prog="trading_pipeline_tests.benchmarks", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the stores are; default: a temporary folder")
    parser.add_argument("--one", choices=BENCHMARKS, help="run one benchmark here and print its figures as JSON")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes per benchmark")
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    if given.one:
        if given.folder is None:
            parser.error("--one needs the folder with the stores")
        sys.stdout.write(run_here(BENCHMARKS[given.one], SIZES[given.size], given.folder) + "\n")
        return
    with tempfile.TemporaryDirectory(prefix="trading-pipeline-bench-") as folder:
        results = measure_all(given.size, given.folder or Path(folder), given.processes)
    text = page(rows_of(results, SIZES[given.size]), datetime.now(UTC))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
