"""What the benchmarks measured as lines of a table, each with its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from trading_pipeline_tests.benchmarks.harness import Result
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.benchmarks.stored import home_name

NO_TARGET = "none yet"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. met None: there is no target."""

    what: str
    cpu_s: Sequence[float]
    median_s: float
    peak_mb: float
    figure: str
    target: str = NO_TARGET
    met: bool | None = None

    def cells(self, measured: str) -> tuple[str, ...]:
        """The line's text by column."""
        spread = f"{min(self.cpu_s):.3g} to {max(self.cpu_s):.3g}"
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        first = (self.what, f"{self.median_s:.3g}", spread, f"{self.peak_mb:,.0f}", self.figure)
        return (*first, self.target, met, measured)


def rows_of(name: str, result: Result, sizes: Sizes) -> list[Row]:
    """The lines of one benchmark."""
    return ROWS[name](result, sizes)


def _row(result: Result, name: str, what: str, figure: str, target: str = NO_TARGET, met: bool | None = None) -> Row:
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


def _indicators(one: Result, _sizes: Sizes) -> list[Row]:
    size = f"{one.counts['symbols']:,.0f} × {one.counts['bars']:,.0f} bars, 19 outputs"
    against_talib = one.median("talib") / one.median("ours")
    return [
        _row(one, "talib", f"bare TA-Lib loop, {size}", "1×"),
        _row(one, "ours", f"indicator pass, {size}", f"{against_talib:.2f}× TA-Lib", "≥ 1×", against_talib >= 1),
    ]


def _sabr20(two: Result, _sizes: Sizes) -> list[Row]:
    ours_s = two.median("ours") / two.counts["candidates"]
    oracle_s = two.median("oracle") / two.counts["oracle_candidates"]
    return [
        _row(two, "oracle", f"literal SABR20, {two.counts['oracle_candidates']:,.0f} candidates",
             f"{oracle_s * 1e6:,.0f} µs a candidate"),
        _row(two, "ours", f"vectorised SABR20, {two.counts['candidates']:,.0f} candidates, same numbers",
             f"{ours_s * 1e6:,.1f} µs a candidate, {oracle_s / ours_s:,.0f}× literal", "≥ 100×",
             oracle_s / ours_s >= 100),
    ]  # fmt: skip


def _replay(replay: Result, sizes: Sizes) -> list[Row]:
    counts, seconds = replay.counts, replay.median("replay")
    faster = counts["session_s"] / seconds
    figure = (
        f"{counts['steps'] / seconds:,.0f} steps/s, {faster:,.0f}× real time, "
        f"{counts['ledger_rows']:.0f} ledger rows, {counts['fills']:.0f} fills"
    )
    market = sizes.demo_market
    what = f"replay one session, {market.symbols} symbols, {market.timeframe} bars, full ledger"
    return [_row(replay, "replay", what, figure, "≥ 50× real time", faster >= 50)]


def _read(read: Result, sizes: Sizes) -> list[Row]:
    symbols = sizes.read_market.symbols + 4  # and the index funds
    work = f"view {sizes.read_sessions} sessions × {symbols} symbols of 1min bars as 15min, 1h, 4h and 1d"
    figure = f"{read.counts['rows']:,.0f} rows"
    return [_row(read, "cold", f"{work}, cold", figure), _row(read, "warm", f"{work}, again", figure)]


def _intents(found: Result, _sizes: Sizes) -> list[Row]:
    return _rates(found, "intents, ten to an execution, only the writes of the submission protocol")


def _submissions(found: Result, _sizes: Sizes) -> list[Row]:
    return _rates(found, "intents, ten to an execution, decided and dispatched through the services")


def _rates(found: Result, work: str) -> list[Row]:
    """How many intents a second, and which share of what the database's commits alone would let through."""
    rows = []
    for name, label in NAMES.items():
        lasted_s, count = sum(found.wall_s[name]), found.counts["intents"]
        rate, share = count * len(found.wall_s[name]) / lasted_s, 1 / found.times(name, f"{name} bound")
        target, met = ("≥ 80 % of the bound", share >= 0.8) if name == "sqlite" else ("≥ 500 a second", rate >= 500)
        commits = found.counts[f"{name} commits"]
        what = f"{count:.0f} {work}, {commits:.0f} commits, for {lasted_s:.0f} s on {label}"
        figure = f"{rate:,.0f} intents/s, {share:.0%} of the bound; {_bound(found, name, commits)}"
        rows.append(_row(found, name, what, figure, target, met))
    return rows


def _bound(found: Result, name: str, commits: float) -> str:
    """The bound itself, and from which time of a commit on we would reach 80 % of it.

    With n commits of t seconds and our other time c, the share is n t / (n t + c): 80 % where t = 4 c / n.
    """
    commit_s = found.wall(f"{name} bound") / commits
    other_s = max(found.wall(name) - found.wall(f"{name} bound"), 0.0)
    return (
        f"{1 / commit_s:,.0f} bare commits/s ({commit_s * 1000:.2f} ms each); "
        f"80 % where a commit takes {4 * other_s / commits * 1000:.2f} ms (computed)"
    )


def _decision(found: Result, _sizes: Sizes) -> list[Row]:
    work = f"decide on 20 setups ({found.counts['approved']:.0f} approved) with 10 positions and 99 orders on record"
    return [_latency(found, name, 0.050, f"{work}, {label}") for name, label in NAMES.items()]


def _writes(found: Result, _sizes: Sizes) -> list[Row]:
    """Against the target: one intent in three commits, as the protocol writes it. Shared commits have none."""
    rows, count = [], found.counts["intents"]
    for name, label in NAMES.items():
        alone, shared = (found.times(f"{name} {size}", f"{name} {size} driver") for size in (1, 10))
        work = f"{count:.0f} intents written, claimed, acknowledged on {label}"
        figure = "{:.2f}× the bare driver".format
        rows.append(_row(found, f"{name} 1", f"{work}, each in three commits", figure(alone), "≤ 1.3×", alone <= 1.3))
        rows.append(_row(found, f"{name} 10", f"{work}, ten share three commits", figure(shared)))
    return rows


def _cycle(found: Result, _sizes: Sizes) -> list[Row]:
    calls, what = found.counts["calls"], f"round of the session loop, {found.counts['positions']:.0f} open positions"
    row = _latency(found, "cycle", 1.0, what)
    figure, target = f"{row.figure}, at most {calls:.0f} venue calls", f"{row.target}, ≤ 10 calls"
    return [_row(found, "cycle", what, figure, target, bool(row.met) and calls <= 10)]


def _halt(found: Result, _sizes: Sizes) -> list[Row]:
    return [
        _latency(found, "halt", 0.5, "halt: latch in file and record, and 10 working entries asked to cancel"),
        _latency(found, "alert", 0.05, "an alert on record"),
        _latency(found, "acknowledged", 5.0, "watchlist of 10 to the last order's acknowledgement"),
    ]


def _killed(found: Result, _sizes: Sizes) -> list[Row]:
    entries, after = found.counts["entries"], found.counts["left_after"]
    last = _latency(found, "blocked", 0.1, f"from the word to the last of {entries:.0f} entries that still leaves")
    return [
        replace(last, figure=f"{last.figure}, at most {after:.0f} of them"),
        _latency(found, "stopped", 0.5, "emergency stop: latched, and the last of 10 cancels sent to a venue's door"),
        _latency(found, "killed", 5.0, "kill: latched, 100 working entries cancelled and verified at a venue's door"),
    ]


def _alerts(found: Result, _sizes: Sizes) -> list[Row]:
    more_s, slowest_s = found.wall("hangs") - found.wall("answers"), found.slowest("hangs")
    later_s = slowest_s - found.slowest("answers")
    figure = (
        f"p50 {found.wall('hangs') * 1000:.2f} ms, {more_s * 1000:+.2f} ms; "
        f"p99 {slowest_s * 1000:.1f} ms, {later_s * 1000:+.1f} ms"
    )
    work = f"an alert on record while the relay's only channel hangs, {found.counts['alerts']:.0f} by turns"
    return [
        _row(found, "hangs", f"{work}, against one that answers", figure, "p50 < 1 ms more", more_s < 0.001),
        _latency(found, "handed", 5.0, "a CRITICAL alert from being raised to being handed to its channel, by a relay"),
    ]


def _latency(found: Result, name: str, most_s: float, what: str) -> Row:
    """A line whose target is the p99 of elapsed time."""
    p99, median = found.slowest(name), found.wall(name)
    figure = f"p50 {median * 1000:,.1f} ms, p99 {p99 * 1000:,.1f} ms of {len(found.wall_s[name])}"
    return _row(found, name, what, figure, f"p99 < {most_s * 1000:,.0f} ms", p99 < most_s)


def _streaming(found: Result, _sizes: Sizes) -> list[Row]:
    work = (
        f"{found.counts['symbols']:.0f} symbols streamed through the Alpaca door and alpaca-py: from the delivery of a "
        "15-minute close's last minute"
    )
    return [
        _row(found, "stored", f"{work} to the bars stored",
             f"p50 {found.wall('stored') * 1000:,.0f} ms, p99 {found.slowest('stored') * 1000:,.0f} ms"),
        _latency(found, "recorded", 5.0, f"{work} to the watchlist on record"),
    ]  # fmt: skip


def _audit(found: Result, _sizes: Sizes) -> list[Row]:
    entries, seconds = found.counts["entries"], found.median("verify")
    what = f"verify an audit log of {entries:,.0f} entries and {found.counts['checkpoints']:,.0f} checkpoints, SQLite"
    figure = f"{entries / seconds:,.0f} entries a CPU second; {found.wall('verify'):,.0f} s elapsed"
    is_met = seconds < 60 and found.peak_mb < 300
    return [_row(found, "verify", what, figure, "< 60 CPU s and < 300 MB for 1,000,000", is_met)]


def _append(found: Result, _sizes: Sizes) -> list[Row]:
    works = {"one": "one entry", "batch": f"a batch of {found.counts['batch']:.0f} entries"}
    rows = []
    for name, work in works.items():
        beside = found.slowest(f"{name} bare") * 1000
        figure = (
            f"p99 {found.slowest(name) * 1000:.1f} ms, median {found.wall(name) * 1000:.1f} ms; bare write and "
            f"fdatasync of as many bytes p99 {beside:.1f} ms, median {found.wall(f'{name} bare') * 1000:.1f} ms"
        )
        rows.append(_row(found, name, f"number {work} of the audit log, durably, SQLite", figure))
    return rows


ROWS: Mapping[str, Callable[[Result, Sizes], list[Row]]] = {
    "fill": _filled,
    "scan": _scan,
    "indicators": _indicators,
    "sabr20": _sabr20,
    "replay": _replay,
    "read": _read,
    "intents": _intents,
    "submissions": _submissions,
    "decision": _decision,
    "writes": _writes,
    "cycle": _cycle,
    "halt": _halt,
    "killed": _killed,
    "alerts": _alerts,
    "audit": _audit,
    "append": _append,
    "streaming": _streaming,
}
