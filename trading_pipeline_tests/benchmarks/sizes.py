"""How much work a benchmark is given: the sizes reported, and tiny ones that only show that it still runs."""

from __future__ import annotations

from dataclasses import dataclass

from trading_pipeline.adapters.synthetic import SyntheticMarketSpec
from trading_pipeline.domain.market import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Symbols, sessions and repeats of every benchmark."""

    scan_market: SyntheticMarketSpec
    demo_market: SyntheticMarketSpec
    read_market: SyntheticMarketSpec
    stream_market: SyntheticMarketSpec
    stream_closes: int
    """How many 15-minute closes of its last session are recorded as they come."""
    read_sessions: int
    traded_sessions: int
    """How many sessions before the end the replayed one lies: the demo's first."""
    indicator_symbols: int
    indicator_sessions: int
    scored_symbols: int
    oracle_symbols: int
    rounds: int
    """Repeats of quick work inside one process."""
    sustained_s: float
    """How long intents come one after the other."""
    executions: int
    """Of ten intents each, measured together, and then the peer's."""
    watchlists: int
    """Of ten setups each, decided and dispatched in one account's day."""
    decisions: int
    positions: int
    cycles: int
    stops: int
    """How often trading is stopped; the last entry to leave is timed twice as often."""
    alerts: int
    """Raised one after the other where a channel answers, and as many where it hangs."""
    audit_entries: int
    """Of the audit log that is verified."""


FULL = Sizes(
    scan_market=SyntheticMarketSpec(symbols=1000, timeframe=Timeframe.MIN5),
    demo_market=SyntheticMarketSpec(),
    read_market=SyntheticMarketSpec(symbols=46),
    stream_market=SyntheticMarketSpec(symbols=572, sessions=110),
    stream_closes=26,
    read_sessions=110,
    traded_sessions=5,
    indicator_symbols=1000,
    indicator_sessions=60,
    scored_symbols=500,
    oracle_symbols=20,
    rounds=5,
    sustained_s=10.0,
    executions=5,
    watchlists=3,
    decisions=250,
    positions=500,
    cycles=100,
    stops=100,
    alerts=200,
    audit_entries=1_000_000,
)
_SMALL = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5)
TINY = Sizes(
    scan_market=_SMALL,
    demo_market=_SMALL,
    read_market=_SMALL,
    stream_market=SyntheticMarketSpec(symbols=8, sessions=110),
    stream_closes=1,
    read_sessions=5,
    traded_sessions=1,
    indicator_symbols=4,
    indicator_sessions=12,
    scored_symbols=6,
    oracle_symbols=2,
    rounds=1,
    sustained_s=0.05,
    executions=1,
    watchlists=1,
    decisions=2,
    positions=4,
    cycles=3,
    stops=2,
    alerts=2,
    audit_entries=2_000,
)
SIZES = {"full": FULL, "tiny": TINY}
