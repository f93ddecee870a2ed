"""The benchmarks still run, on tiny sizes and in this process, and their page says what fell short."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trading_pipeline_tests.benchmarks.__main__ import BENCHMARKS
from trading_pipeline_tests.benchmarks.harness import Result, joined, run_here
from trading_pipeline_tests.benchmarks.page import Row, page, rows_of
from trading_pipeline_tests.benchmarks.sizes import TINY

pytestmark = pytest.mark.slow
AT = datetime(2025, 3, 3, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    folder: Path = tmp_path_factory.mktemp("bench")
    runs = {name: json.loads(run_here(benchmark, TINY, folder)) for name, benchmark in BENCHMARKS.items()}
    return {name: joined([run]) for name, run in runs.items()}


def test_every_benchmark_does_its_work(results: dict[str, Result]) -> None:
    assert results["scan"].counts["snapshots"] == 26
    assert results["replay"].counts["steps"] == 78
    assert results["replay"].counts["verified"] == 0
    assert results["replay"].counts["ledger_rows"] > 20
    assert results["read"].counts["rows"] > 0
    assert results["sabr20"].counts["oracle_candidates"] == 26 * TINY.oracle_symbols
    assert all(result.peak_mb > 50 for result in results.values())


def test_the_page_has_a_line_for_each_figure(results: dict[str, Result]) -> None:
    rows = rows_of(results, TINY)
    text = page(rows, AT)

    assert "Measured 2025-03-03 12:30 UTC" in text
    assert all(f"| {row.what} |" in text for row in rows)


def test_what_misses_its_target_is_said_to_fall_short() -> None:
    slow = Row("slow work", [2.0], 2.0, 100.0, "0.5×", "≥ 1×", met=False)
    quick = Row("quick work", [1.0], 1.0, 100.0, "2×", "≥ 1×", met=True)

    text = page([slow, quick], AT)

    assert "- slow work" in text
    assert "- quick work" not in text
    assert "Nothing of what has a target" in page([quick], AT)


def test_repeats_are_joined_and_the_highest_peak_counts() -> None:
    runs = [{"cpu_s": {"work": [seconds]}, "counts": {"rows": 4.0}, "peak_mb": 10 * seconds} for seconds in (3, 1, 2)]

    result = joined(runs)

    assert (result.median("work"), result.peak_mb, result.counts["rows"]) == (2, 30, 4)
