"""CPU seconds and peak memory of a piece of work, taken in a fresh process so that the peak is its own."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trading_pipeline_tests.benchmarks.sizes import Sizes


@dataclass(slots=True)
class Timings:
    """What one process measured: CPU seconds of each named piece of work, and what it counted."""

    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the CPU seconds (all threads) spent inside the block."""
        began = time.process_time()
        yield
        self.cpu_s.setdefault(name, []).append(time.process_time() - began)


Benchmark = Callable[[Sizes, Path, Timings], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark over all its processes."""

    cpu_s: Mapping[str, Sequence[float]]
    counts: Mapping[str, float]
    peak_mb: float

    def median(self, name: str) -> float:
        """Median CPU seconds of a piece of work."""
        return statistics.median(self.cpu_s[name])


def run_here(benchmark: Benchmark, sizes: Sizes, folder: Path) -> str:
    """Run one benchmark in this process; returns its measurements as JSON."""
    timings = Timings()
    benchmark(sizes, folder, timings)
    # the kernel counts KiB on Linux and bytes on macOS
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return json.dumps({"cpu_s": timings.cpu_s, "counts": timings.counts, "peak_mb": peak_mb})


def run_apart(name: str, size: str, folder: Path, processes: int) -> Result:
    """Run a benchmark in fresh processes, one after the other; raises CalledProcessError when one fails."""
    command = [sys.executable, "-m", "trading_pipeline_tests.benchmarks", "--one", name, "--size", size, str(folder)]
    runs = []
    for _ in range(processes):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return joined(runs)


def joined(runs: Sequence[Mapping[str, object]]) -> Result:
    """All measurements of equal runs; the peak is the highest of them."""
    cpu_s: dict[str, list[float]] = {}
    counts: dict[str, float] = {}
    peak_mb = 0.0
    for run in runs:
        one = Result(**run)  # type: ignore[arg-type]
        for name, values in one.cpu_s.items():
            cpu_s.setdefault(name, []).extend(values)
        counts.update(one.counts)
        peak_mb = max(peak_mb, one.peak_mb)
    return Result(cpu_s, counts, peak_mb)
