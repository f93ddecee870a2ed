"""The benchmarks still run, on tiny sizes and in this process, and their page says what fell short."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trading_pipeline_tests.benchmarks.__main__ import BENCHMARKS, FIGURES, chosen
from trading_pipeline_tests.benchmarks.harness import Result, joined, run_here
from trading_pipeline_tests.benchmarks.page import Measured, load, machine, measured, page, save
from trading_pipeline_tests.benchmarks.rows import ROWS, Row
from trading_pipeline_tests.benchmarks.sizes import TINY

AT = datetime(2025, 3, 3, 12, 30, tzinfo=UTC)
SLOW = Row("slow work", [2.0, 2.5], 2.0, 100.0, "0.5×", "≥ 1×", met=False)
QUICK = Row("quick work", [1.0, 1.5], 1.0, 100.0, "2×", "≥ 1×", met=True)


START_PROCESSES = ("alerts", "streaming")
"""Each takes longer than all the others together: left to the long tests."""


def tiny(folder: Path, names: Collection[str]) -> dict[str, Result]:
    """These benchmarks on tiny sizes, in the order of all."""
    runs = {name: run_here(BENCHMARKS[name], TINY, folder) for name in BENCHMARKS if name in names}
    return {name: joined([json.loads(run)]) for name, run in runs.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return tiny(tmp_path_factory.mktemp("bench"), BENCHMARKS.keys() - set(START_PROCESSES))


def figures(*rows: Row, at: str = "2025-03-03 12:30") -> Measured:
    return Measured(at, dict(machine()), rows)


@pytest.mark.slow
def test_every_benchmark_does_its_work(results: dict[str, Result]) -> None:
    assert results["scan"].counts["snapshots"] == 26
    assert results["replay"].counts["steps"] == 78
    assert results["replay"].counts["verified"] == 0
    assert results["replay"].counts["ledger_rows"] > 20
    assert results["read"].counts["rows"] > 0
    assert results["sabr20"].counts["oracle_candidates"] == 26 * TINY.oracle_symbols
    assert results["decision"].counts["approved"] == 10
    assert results["cycle"].counts["positions"] == TINY.positions
    assert results["cycle"].counts["raised"] > 0
    assert results["cycle"].counts["calls"] <= 10
    assert all(result.peak_mb > 50 for result in results.values())


@pytest.mark.slow
def test_the_page_has_a_line_for_each_figure(results: dict[str, Result]) -> None:
    require_lines(results)


@pytest.mark.soak
def test_those_that_start_processes_do_their_work_and_have_their_lines(tmp_path: Path) -> None:
    results = tiny(tmp_path, START_PROCESSES)

    assert set(results) == set(START_PROCESSES)
    require_lines(results)


def require_lines(results: dict[str, Result]) -> None:
    found = {name: measured(name, result, TINY, AT) for name, result in results.items()}
    text = page(found)

    assert "Last measured 2025-03-03 12:30 UTC" in text
    assert all(f"| {row.what} |" in text for one in found.values() for row in one.rows)


def test_each_benchmark_has_its_rows() -> None:
    assert set(ROWS) == set(BENCHMARKS) > set(START_PROCESSES)


def test_what_misses_its_target_is_said_to_fall_short() -> None:
    text = page({"scan": figures(SLOW), "read": figures(QUICK)})

    assert "- slow work" in text
    assert "- quick work" not in text
    assert "Nothing of what has a target" in page({"read": figures(QUICK)})


def test_figures_that_are_not_measured_again_are_kept_with_their_date(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    save(kept, {"scan": figures(SLOW, at="2025-01-01 08:00")})

    text = page(load(kept) | {"read": figures(QUICK)})

    assert "Last measured 2025-03-03 12:30 UTC" in text
    assert _line(text, "slow work").endswith("| 2025-01-01 08:00 |")
    assert _line(text, "quick work").endswith("| 2025-03-03 12:30 |")


def test_figures_from_elsewhere_are_told() -> None:
    old = Measured("2025-01-01 08:00", {"Python": "2.7"}, [SLOW])

    assert "Figures of 2025-01-01 08:00 were taken with other versions" in page({"scan": old, "read": figures(QUICK)})


def test_the_page_in_the_docs_is_that_of_the_figures_kept() -> None:
    written = FIGURES.parents[2] / "docs" / "benchmarks.md"

    assert written.read_text(encoding="utf-8") == page(load(FIGURES))


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("", list(BENCHMARKS)),
        ("cycle,intents", ["intents", "cycle"]),
        ("replay", ["fill", "replay"]),
    ],
)
def test_some_benchmarks_may_be_measured_alone(only: str, expected: Sequence[str]) -> None:
    assert chosen(only, has_stores=False) == expected


def test_a_benchmark_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no benchmark scam; there are fill, scan"):
        chosen("scam", has_stores=True)


def test_repeats_are_joined_and_the_highest_peak_counts() -> None:
    runs = [{"cpu_s": {"work": [s]}, "wall_s": {"work": [s]}, "counts": {"rows": 4.0}, "peak_mb": 10 * s}
            for s in (3, 1, 2)]  # fmt: skip

    result = joined(runs)

    assert (result.median("work"), result.peak_mb, result.counts["rows"]) == (2, 30, 4)


def test_the_slowest_of_a_hundred_and_the_ratio_of_pairs() -> None:
    ours, peer = [float(number) for number in range(1, 101)], [0.5 * number for number in range(1, 101)]
    result = Result({}, {"ours": ours, "peer": peer}, {}, 1.0)

    assert result.slowest("ours") == 99
    assert result.times("ours", "peer") == 2


def _line(text: str, what: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {what} ")]
    return line
