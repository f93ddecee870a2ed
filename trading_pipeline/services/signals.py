"""External signals on record: each set is a snapshot of its own source, with what sizes its positions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from trading_pipeline.analytics.indicators import compute_indicators
from trading_pipeline.domain.errors import InputError, MissingResultError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.targets import SOURCES, SignalSet, require_fresh, signal_set
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction, SignalProvider
from trading_pipeline.services.desk import Provenance
from trading_pipeline.services.research_desk import ResearchDesk

STATE = "External"
"""State of a setup that is a target signal."""


@dataclass(frozen=True, slots=True)
class Daily:
    """A symbol's last daily close and ATR (USD per share), of the session before."""

    close: float
    atr: float


def record_signals(
    desk: ResearchDesk, provider: SignalProvider, session: date, instant: datetime, *, only_news: bool = False
) -> ScanSnapshot:
    """Put the newest signals known at `instant` on record as a snapshot of that instant; the same again is found.

    only_news: also when the session's newest are the same, of whatever instant, and whoever recorded them meanwhile.
    Raises what the provider raises, and SignalsError when they are too old or from the future.
    """
    found = provider.signals(session, instant)
    require_fresh(found, instant, desk.settings.execution.rebalance)
    daily = daily_figures(desk, session, sorted(found.strengths))
    snapshot = _snapshot(desk, session, instant, found, daily)
    with desk.ledger.transaction() as tx:
        known = tx.snapshot_by_id(snapshot.snapshot_id)
        if known is None and only_news:
            known = _newest_if_same(desk, tx, session, found)
        if known is None:
            tx.add_snapshot(snapshot, _setups(desk, snapshot, found, daily))
    return known or snapshot


def _newest_if_same(desk: ResearchDesk, tx: LedgerTransaction, session: date, found: SignalSet) -> ScanSnapshot | None:
    is_same = found.input_hash in _newest_hashes(desk, tx, session)
    return signal_snapshots(desk.provenance, tx, session)[-1] if is_same else None


def _newest_hashes(desk: ResearchDesk, tx: LedgerTransaction, session: date) -> set[str]:
    """What identifies the set of the session's newest signals; empty when there are none."""
    known = signal_snapshots(desk.provenance, tx, session)
    return _signals_hashes(tx.setups(known[-1].snapshot_id)[:1]) if known else set()


def record_session_signals(desk: ResearchDesk, provider: SignalProvider, session: date) -> int:
    """Record every set of signals that becomes known while entries are allowed, up to now; returns how many there are.

    A set counts from the first cycle at which it is known; one that is too old by then is refused.
    """
    rules, times = desk.settings.execution, desk.calendar.times(session)
    first = times.opens_at + timedelta(minutes=rules.entry_open_delay_minutes)
    last = min(times.closes_at - timedelta(minutes=rules.entry_close_lead_minutes), desk.clock.now())
    seen: set[str] = set()
    instant = first
    while instant <= last:
        digest = _digest_at(provider, session, instant)
        if digest is not None and digest not in seen:
            record_signals(desk, provider, session, instant)
            seen.add(digest)
        instant += timedelta(minutes=rules.rebalance.cycle_minutes)
    return len(seen)


def _digest_at(provider: SignalProvider, session: date, instant: datetime) -> str | None:
    """What identifies the set known at an instant, whenever it is asked for; None when there is none yet."""
    try:
        return provider.signals(session, instant).input_hash
    except MissingResultError:
        return None


@dataclass(frozen=True, slots=True)
class GivenSignals:
    """Strengths handed over in a call: of whatever instant they are asked for. Implements SignalProvider."""

    strengths: Mapping[str, float]
    max_rows: int
    name: str = "signal_call"

    def signals(self, session: date, as_of: datetime) -> SignalSet:  # noqa: ARG002
        """The strengths as of the instant; raises SignalsError for rows of no use."""
        return signal_set(self.name, as_of, self.strengths.items(), max_rows=self.max_rows, is_timed=False)


def refresh_signals(desk: ResearchDesk, provider: SignalProvider, session: date, instant: datetime) -> None:
    """Look for new signals while a session runs; what cannot be used is told by a risk event, once, and trades nothing.

    Signals without a time of their own count from when they were first seen.
    """
    account = desk.settings.execution.account
    try:
        digest = _digest_at(provider, session, instant)
        with desk.ledger.read() as tx:
            is_known = digest is None or digest in _newest_hashes(desk, tx, session)
        if not is_known:
            record_signals(desk, provider, session, instant, only_news=True)
    except InputError as error:
        event_id = hashlib.sha256(f"signals|{account}|{session}|{error.__class__.__name__}".encode()).hexdigest()[:24]
        event = RiskEvent(
            event_id=event_id, account=account, session=session, occurred_at=instant, kind="signals_refused",
            severity="WARNING", message=str(error), data={"provider": provider.name},
        )  # fmt: skip
        with desk.ledger.transaction() as tx:
            if tx.risk_event(event_id) is None:
                tx.add_risk_event(event)


def signal_snapshots(origin: Provenance | None, tx: LedgerTransaction, session: date) -> list[ScanSnapshot]:
    """Signals of the session recorded under `origin` (None: any), ascending by as_of."""
    config_hash, code_version = (origin.config_hash, origin.code_version) if origin else (None, None)
    found = [
        snapshot
        for source in SOURCES
        for snapshot in tx.snapshots(session, config_hash=config_hash, code_version=code_version, source=source)
    ]
    return sorted(found, key=lambda snapshot: (snapshot.as_of, snapshot.source))


def daily_figures(desk: ResearchDesk, session: date, symbols: list[str]) -> dict[str, Daily]:
    """Daily close and ATR of the session before, in the units of `session`; a symbol without bars has none.

    The ATR is NaN where history is too short.
    """
    history = [day for day in desk.history(session, Timeframe.DAY1) if day < session]
    bars = desk.bars.view(Timeframe.DAY1, history, as_of=session, symbols=symbols) if history else pd.DataFrame()
    if bars.empty:
        return {}
    last = compute_indicators(bars, desk.settings.indicators).groupby("symbol", sort=True).tail(1)
    return {
        str(symbol): Daily(float(close), float(atr))
        for symbol, close, atr in zip(last["symbol"], last["close"], last["atr"], strict=True)
    }


def _snapshot(
    desk: ResearchDesk, session: date, instant: datetime, found: SignalSet, daily: Mapping[str, Daily]
) -> ScanSnapshot:
    origin, inputs = desk.provenance, _input_hash(found.input_hash, daily)
    parts = (
        found.source, session.isoformat(), instant.isoformat(), origin.code_version, origin.config_hash,
        inputs,
    )  # fmt: skip
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()
    return ScanSnapshot(
        snapshot_id=f"signals-{instant:%Y%m%dT%H%MZ}-{digest[:16]}", session=session, as_of=instant,
        code_version=origin.code_version, config_hash=origin.config_hash, input_hash=inputs,
        scored=len(found.strengths), selected=len(_selected(desk, found)), created_at=desk.clock.now(),
        run_id=origin.run_id, source=found.source,
    )  # fmt: skip


def _input_hash(signals_hash: str, daily: Mapping[str, Daily]) -> str:
    figures = sorted((symbol, one.close, one.atr) for symbol, one in daily.items())
    return hashlib.sha256(f"{signals_hash}|{figures}".encode()).hexdigest()


def is_reproduced(desk: ResearchDesk, snapshot: ScanSnapshot) -> bool:
    """True when the set of signals on record and the daily bars stored now give the snapshot's input hash again.

    The set's own hash is on record with it: its file or table may be gone, and is not asked.
    """
    with desk.ledger.read() as tx:
        setups = tx.setups(snapshot.snapshot_id)
    daily = daily_figures(desk, snapshot.session, sorted(setup.symbol for setup in setups))
    return snapshot.input_hash in {_input_hash(one, daily) for one in _signals_hashes(setups)}


def _signals_hashes(setups: Sequence[Setup]) -> set[str]:
    return {str(setup.details["signals_hash"]) for setup in setups}


def _selected(desk: ResearchDesk, found: SignalSet) -> set[str]:
    threshold = desk.settings.execution.rebalance.threshold
    return {symbol for symbol, strength in found.strengths.items() if abs(strength) >= threshold}


def _setups(desk: ResearchDesk, snapshot: ScanSnapshot, found: SignalSet, daily: Mapping[str, Daily]) -> list[Setup]:
    selected = _selected(desk, found)
    ranked = sorted(found.strengths.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [
        _setup(snapshot, symbol, strength, rank, daily.get(symbol), found, selected=symbol in selected)
        for rank, (symbol, strength) in enumerate(ranked, start=1)
    ]


def _setup(
    snapshot: ScanSnapshot,
    symbol: str,
    strength: float,
    rank: int,
    daily: Daily | None,
    found: SignalSet,
    *,
    selected: bool,
) -> Setup:
    """A signal as a setup: its score is the strength in percent; 0 stands for a price or an ATR that is not known."""
    close = daily.close if daily else 0.0
    atr = daily.atr if daily and math.isfinite(daily.atr) else 0.0
    return Setup(
        setup_id=f"{snapshot.snapshot_id}-{symbol}", snapshot_id=snapshot.snapshot_id, symbol=symbol,
        session=snapshot.session, as_of=snapshot.as_of, score=100 * strength, grade="", state=STATE, phase="",
        reward_risk=0.0, entry=close, stop=0.0, target=None, lowest_low=0.0, lower_band=0.0, atr=atr, atr_mean=atr,
        rank=rank, selected=selected,
        details={
            "strength": strength, "daily_atr": atr, "source": snapshot.source,
            "signals_as_of": found.as_of.isoformat(), "signals_hash": found.input_hash,
        },
    )  # fmt: skip
