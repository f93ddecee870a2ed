"""CPU seconds and peak memory of a piece of work, taken in a fresh process so that the peak is its own."""

from __future__ import annotations

import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trading_pipeline_tests.benchmarks.sizes import Sizes


@dataclass(slots=True)
class Timings:
    """What one process measured: CPU and elapsed seconds of each named piece of work, and what it counted."""

    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the CPU seconds (all threads) and the elapsed seconds of the block."""
        began, began_cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu_s.setdefault(name, []).append(time.process_time() - began_cpu)
        self.wall_s.setdefault(name, []).append(time.perf_counter() - began)


Benchmark = Callable[[Sizes, Path, Timings], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark over all its processes."""

    cpu_s: Mapping[str, Sequence[float]]
    wall_s: Mapping[str, Sequence[float]]
    counts: Mapping[str, float]
    peak_mb: float

    def median(self, name: str) -> float:
        """Median CPU seconds of a piece of work."""
        return statistics.median(self.cpu_s[name])

    def wall(self, name: str) -> float:
        """Median elapsed seconds of a piece of work."""
        return statistics.median(self.wall_s[name])

    def slowest(self, name: str, share: float = 0.99) -> float:
        """Elapsed seconds that this share of the repeats stayed within (p99)."""
        ordered = sorted(self.wall_s[name])
        return ordered[math.ceil(share * len(ordered)) - 1]

    def times(self, name: str, peer: str) -> float:
        """How often as long a piece of work takes as the peer measured right beside it; median of the pairs."""
        pairs = zip(self.wall_s[name], self.wall_s[peer], strict=True)
        return statistics.median(one / other for one, other in pairs)


def run_here(benchmark: Benchmark, sizes: Sizes, folder: Path) -> str:
    """Run one benchmark in this process; returns its measurements as JSON."""
    timings = Timings()
    benchmark(sizes, folder, timings)
    # the kernel counts KiB on Linux and bytes on macOS
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return json.dumps({**asdict(timings), "peak_mb": peak_mb})


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
    all_of, peak_mb = Timings(), 0.0
    for run in runs:
        one = Result(**run)  # type: ignore[arg-type]
        for found, values_of in ((all_of.cpu_s, one.cpu_s), (all_of.wall_s, one.wall_s)):
            for name, values in values_of.items():
                found.setdefault(name, []).extend(values)
        all_of.counts.update(one.counts)
        peak_mb = max(peak_mb, one.peak_mb)
    return Result(**asdict(all_of), peak_mb=peak_mb)
