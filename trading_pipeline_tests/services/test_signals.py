"""External signals on record: what sizes them, when they count, and how they stay apart from watchlists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.targets import SignalsError, SignalSet, signal_set
from trading_pipeline.services.executions import execute_signals
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.signals import (
    GivenSignals,
    daily_figures,
    is_reproduced,
    record_session_signals,
    record_signals,
    refresh_signals,
    signal_snapshots,
)
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.scripted import TIMES, Stage, minute
from trading_pipeline_tests.services.traded_market import TradedMarket


@dataclass(frozen=True)
class History:
    """Sets of signals by the instant they are of. Implements SignalProvider."""

    sets: dict[datetime, dict[str, float]]
    name: str = "signal_table"

    def signals(self, session: date, as_of: datetime) -> SignalSet:
        known = [instant for instant in self.sets if instant <= as_of]
        if not known:
            raise MissingResultError(f"nothing for {session}")
        return signal_set(self.name, max(known), self.sets[max(known)].items(), max_rows=9)


@pytest.fixture
def research(market: TradedMarket, ledger: SqlLedger) -> ResearchDesk:
    """The market's bars with an empty ledger."""
    return replace(market.workspace.research, ledger=ledger)


def symbol_of(research: ResearchDesk, session: date) -> str:
    return str(research.view(session, Timeframe.DAY1)["symbol"].iloc[0])


def test_a_set_on_record_is_reproduced_from_its_own_hash_and_the_daily_bars(
    research: ResearchDesk, market: TradedMarket
) -> None:
    session = market.sessions[0]
    at = research.calendar.times(session).opens_at + timedelta(minutes=15)
    strengths = {symbol_of(research, session): 0.5, "NOSUCH": 0.3}

    snapshot = record_signals(research, GivenSignals(strengths, 9), session, at)

    assert is_reproduced(research, snapshot)
    assert not is_reproduced(research, replace(snapshot, input_hash="0" * 64))
    assert not is_reproduced(replace(research, bars=research.bars), replace(snapshot, session=market.sessions[-1]))


def test_the_daily_atr_is_wilders_over_the_sessions_before(research: ResearchDesk, market: TradedMarket) -> None:
    session = market.sessions[0]
    symbol = symbol_of(research, session)
    bars = research.view(session, Timeframe.DAY1, [symbol])
    rows = bars[bars["session"] < str(session)][["high", "low", "close"]].astype(float).to_numpy().tolist()
    ranges = [max(high - low, abs(high - before[2]), abs(low - before[2])) for before, (high, low, _) in pairwise(rows)]
    atr = sum(ranges[:14]) / 14
    for one in ranges[14:]:
        atr = (13 * atr + one) / 14

    found = daily_figures(research, session, [symbol, "NOSUCH"])

    assert set(found) == {symbol}
    assert found[symbol].atr == pytest.approx(atr, rel=1e-9)
    assert found[symbol].close == rows[-1][2]


def test_a_set_is_recorded_once_and_apart_from_watchlists(research: ResearchDesk, market: TradedMarket) -> None:
    session = market.sessions[0]
    symbol, at = symbol_of(research, session), research.calendar.times(session).opens_at
    provider = GivenSignals({symbol: 0.4, "NOSUCH": -0.5}, 10)

    first, again = (record_signals(research, provider, session, at) for _ in range(2))

    assert first == again
    with research.ledger.read() as tx:
        assert not tx.snapshots(session)
        assert signal_snapshots(research.provenance, tx, session) == [first]
        unknown, known = tx.setups(first.snapshot_id)
    assert (unknown.symbol, unknown.atr, known.symbol, known.target) == ("NOSUCH", 0.0, symbol, None)
    assert known.details["strength"] == 0.4
    assert known.atr > 0


def test_each_set_of_a_history_counts_from_the_first_cycle_that_knows_it(
    research: ResearchDesk, market: TradedMarket
) -> None:
    session = market.sessions[0]
    opens_at = research.calendar.times(session).opens_at
    early, late, too_late = (opens_at + timedelta(minutes=m) for m in (-60, 47, 385))
    provider = History({early: {"AAA": 0.4}, late: {"AAA": 0.4}, too_late: {"AAA": 0.9}})

    assert record_session_signals(research, provider, session) == 2

    with research.ledger.read() as tx:
        found = [(s.as_of - opens_at) // timedelta(minutes=1) for s in signal_snapshots(None, tx, session)]
    assert found == [15, 50]


def test_stale_signals_stop_a_replay_and_warn_a_running_session_once(
    research: ResearchDesk, market: TradedMarket
) -> None:
    session = market.sessions[0]
    at = research.calendar.times(session).opens_at
    provider = History({at - timedelta(days=3): {"AAA": 0.4}})

    with pytest.raises(SignalsError, match="max_signal_age_minutes"):
        record_session_signals(research, provider, session)
    for minutes in (0, 5):
        refresh_signals(research, provider, session, at + timedelta(minutes=minutes))

    with research.ledger.read() as tx:
        assert [(e.kind, e.severity) for e in tx.risk_events(market.account, session)] == [
            ("signals_refused", "WARNING")
        ]


def test_a_running_session_records_what_is_new(research: ResearchDesk, market: TradedMarket) -> None:
    session = market.sessions[0]
    at = research.calendar.times(session).opens_at
    for minutes, strength in ((0, 0.4), (5, 0.4), (10, 0.6)):
        provider = GivenSignals({"AAA": strength}, 10)
        refresh_signals(research, provider, session, at + timedelta(minutes=minutes))

    with research.ledger.read() as tx:
        found = [(s.as_of - at) // timedelta(minutes=1) for s in signal_snapshots(None, tx, session)]
    assert found == [0, 10]


def test_execute_signals_decides_on_strengths_at_given_prices(
    stage: Stage, research: ResearchDesk, market: TradedMarket
) -> None:
    """On a scene's account, with the figures of the market's own symbol."""
    scene = stage.scene(risk={"max_open_risk_fraction": "0.2"})
    desk = scene.desk(at=15)
    scene.start(desk)
    there = replace(research, ledger=scene.ledger, clock=ReplayClock(minute(15)), provenance=desk.provenance)
    symbol = symbol_of(research, market.sessions[0])
    prices = {symbol: dec("50.00")}

    done, again = (execute_signals(desk, there, TIMES, {symbol: 0.4, "MSFT": -0.6}, prices) for _ in range(2))

    rows = {row.symbol: row for row in done.rows}
    assert done == again
    assert (rows["MSFT"].status, rows["MSFT"].reason) == ("refused", "not owned: what is not owned is not sold")
    assert rows[symbol].phase == "buy"
    assert len(scene.orders()) == 2  # the entry and its stop
