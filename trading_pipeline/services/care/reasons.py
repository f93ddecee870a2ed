"""Why a position is to be left now: asked for, out of time, or what its bars and its watchlist say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.exits import (
    Held,
    fell_below_mid,
    hold_exit,
    is_flatten_time,
    momentum_is_lost,
)
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.ports import LedgerTransaction, ResearchStore
from trading_pipeline.services.care.asking import flatten_lead, is_external
from trading_pipeline.services.desk import Desk

PAST_BOTTOM = "PostBottom"
T1, T2 = Timeframe.MIN15, Timeframe.HOUR1


def exit_reason(
    desk: Desk,
    tx: LedgerTransaction,
    times: SessionTimes,
    position: Position,
    asked: Mapping[str, ExitReason],
    snapshot: ScanSnapshot | None,
) -> ExitReason | None:
    """The first reason to leave a position now; None to keep it.

    snapshot: a watchlist that became known with this step. Only what somebody asked for ends an adopted position.
    """
    if position.trade_id in asked:
        return asked[position.trade_id]
    if is_external(tx, position):
        return None
    now, rules = desk.clock.now(), desk.rules.exits
    is_flatten = is_flatten_time(now, times.closes_at, flatten_lead(desk))
    held = Held(1, 0) if rules.hold == "intraday" else held_for(tx, position, times, now)
    found = hold_exit(position, held, rules, is_flatten=is_flatten)
    if found is not None or snapshot is None or snapshot.as_of <= position.opened_at:
        return found
    return _signal(desk, tx, position, snapshot)


def held_for(tx: LedgerTransaction, position: Position, times: SessionTimes, now: datetime) -> Held:
    """Sessions and 15-minute bars of trading time since a position was opened, by the account's own sessions."""
    since = position.opened_at
    spans = [
        (record.started_at, now if record.session == times.session else record.cursor_at or record.started_at)
        for record in tx.session_records(position.account)
        if since.date() <= record.session <= times.session
    ]
    traded = (max(end - max(start, since), timedelta(0)) for start, end in spans)
    return Held(sessions=len(spans), bars=sum(span // T1.length for span in traded))


def _signal(desk: Desk, tx: LedgerTransaction, position: Position, snapshot: ScanSnapshot) -> ExitReason | None:
    rules = desk.rules.exits
    if rules.reversal and _dropped_past_bottom(tx, position, snapshot):
        return ExitReason.REVERSAL
    if desk.frames is None:
        return None
    if rules.momentum and _momentum_lost(desk.frames, position, snapshot, rules.momentum_k_above):
        return ExitReason.MOMENTUM
    if rules.mid_band and _below_mid(desk.frames, position, snapshot):
        return ExitReason.MOMENTUM
    return None


def _dropped_past_bottom(tx: LedgerTransaction, position: Position, snapshot: ScanSnapshot) -> bool:
    """True when the symbol is scored, not on the watchlist any more, and its bottom is behind it."""
    found = [setup for setup in tx.setups(snapshot.snapshot_id) if setup.symbol == position.symbol]
    return any(not setup.selected and setup.state == PAST_BOTTOM for setup in found)


def _momentum_lost(frames: ResearchStore, position: Position, snapshot: ScanSnapshot, above: float) -> bool:
    rows = _last_rows(frames, T1, position.symbol, snapshot, 3)
    if len(rows) < 3:
        return False
    k, hist = (rows[name].astype(float).tolist() for name in ("stoch_k", "macd_hist"))
    return momentum_is_lost((k[1], k[2]), (hist[0], hist[1], hist[2]), above)


def _below_mid(frames: ResearchStore, position: Position, snapshot: ScanSnapshot) -> bool:
    rows = _last_rows(frames, T2, position.symbol, snapshot, 2)
    if len(rows) < 2 or rows["end"].iloc[-1] <= position.opened_at:
        return False
    close, mid = (rows[name].astype(float).tolist() for name in ("close", "bb_mid"))
    return fell_below_mid((close[0], close[1]), (mid[0], mid[1]))


def _last_rows(
    frames: ResearchStore, timeframe: Timeframe, symbol: str, snapshot: ScanSnapshot, count: int
) -> pd.DataFrame:
    """The symbol's last indicator rows as known at the watchlist's instant; none where they were not made."""
    try:
        frame = frames.read(f"indicators_{timeframe.value}", snapshot.session)
    except MissingResultError:
        return pd.DataFrame()
    return frame[(frame["symbol"] == symbol) & (frame["end"] <= snapshot.as_of)].tail(count)
