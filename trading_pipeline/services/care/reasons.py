"""Why a position is to be left now: asked for, out of time, or what its bars and its watchlist say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial

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
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction, ResearchStore
from trading_pipeline.services.care.asking import flatten_lead, is_external
from trading_pipeline.services.care.requests import requested_exits
from trading_pipeline.services.desk import Desk

PAST_BOTTOM = "PostBottom"


@dataclass(frozen=True, slots=True)
class Occasion:
    """What may end any position now, read once for all of them.

    asked: exits somebody asked for, by trade id. sessions: the account's own. snapshot: a watchlist that became known
    with this step, and with it its setups by symbol, and its indicators by timeframe, read when they are looked at.
    """

    asked: Mapping[str, ExitReason]
    sessions: Sequence[SessionRecord]
    snapshot: ScanSnapshot | None
    setups: Mapping[str, Setup]
    indicators: Callable[[Timeframe], pd.DataFrame]


def occasion_of(desk: Desk, tx: LedgerTransaction, held: Sequence[Position], snapshot: ScanSnapshot | None) -> Occasion:
    """What may end the positions held."""
    looks_back = bool(held) and snapshot is not None and desk.rules.exits.reversal
    listed = tx.setups(snapshot.snapshot_id) if looks_back and snapshot is not None else ()
    return Occasion(
        asked=requested_exits(tx, desk.account, desk.clock.now()) if held else {},
        sessions=tx.session_records(desk.account) if held else (),
        snapshot=snapshot,
        setups={setup.symbol: setup for setup in listed},
        indicators=cache(partial(_indicators, desk.frames, snapshot)),
    )


def exit_reason(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, occasion: Occasion
) -> ExitReason | None:
    """The first reason to leave a position now; None to keep it.

    Only what somebody asked for ends an adopted position.
    """
    if position.trade_id in occasion.asked:
        return occasion.asked[position.trade_id]
    now, rules, snapshot = desk.clock.now(), desk.rules.exits, occasion.snapshot
    is_flatten = is_flatten_time(now, times.closes_at, flatten_lead(desk))
    held = Held(1, 0) if rules.hold == "intraday" else held_for(desk, occasion.sessions, position, times, now)
    found = hold_exit(position, held, rules, is_flatten=is_flatten)
    if found is None and snapshot is not None and snapshot.as_of > position.opened_at:
        found = _signal(desk, position, occasion, snapshot)
    return None if found is None or is_external(tx, position) else found


def held_for(
    desk: Desk, sessions: Sequence[SessionRecord], position: Position, times: SessionTimes, now: datetime
) -> Held:
    """Sessions and trigger bars of trading time since a position was opened, by the account's own sessions."""
    since = position.opened_at
    spans = [
        (record.started_at, now if record.session == times.session else record.cursor_at or record.started_at)
        for record in sessions
        if since.date() <= record.session <= times.session
    ]
    traded = (max(end - max(start, since), timedelta(0)) for start, end in spans)
    return Held(sessions=len(spans), bars=sum(span // desk.trigger.length for span in traded))


def _signal(desk: Desk, position: Position, occasion: Occasion, snapshot: ScanSnapshot) -> ExitReason | None:
    rules = desk.rules.exits
    if rules.reversal and _dropped_past_bottom(occasion.setups.get(position.symbol)):
        return ExitReason.REVERSAL
    if rules.momentum and _momentum_lost(occasion.indicators(desk.trigger), position, snapshot, rules.momentum_k_above):
        return ExitReason.MOMENTUM
    if rules.mid_band and _below_mid(occasion.indicators(desk.confirmation), position, snapshot):
        return ExitReason.MOMENTUM
    return None


def _dropped_past_bottom(setup: Setup | None) -> bool:
    """True when the symbol is scored, not on the watchlist any more, and its bottom is behind it."""
    return setup is not None and not setup.selected and setup.state == PAST_BOTTOM


def _momentum_lost(frame: pd.DataFrame, position: Position, snapshot: ScanSnapshot, above: float) -> bool:
    rows = _last_rows(frame, position.symbol, snapshot, 3)
    if len(rows) < 3:
        return False
    k, hist = (rows[name].astype(float).tolist() for name in ("stoch_k", "macd_hist"))
    return momentum_is_lost((k[1], k[2]), (hist[0], hist[1], hist[2]), above)


def _below_mid(frame: pd.DataFrame, position: Position, snapshot: ScanSnapshot) -> bool:
    rows = _last_rows(frame, position.symbol, snapshot, 2)
    if len(rows) < 2 or rows["end"].iloc[-1] <= position.opened_at:
        return False
    close, mid = (rows[name].astype(float).tolist() for name in ("close", "bb_mid"))
    return fell_below_mid((close[0], close[1]), (mid[0], mid[1]))


def _indicators(frames: ResearchStore | None, snapshot: ScanSnapshot | None, timeframe: Timeframe) -> pd.DataFrame:
    """The session's indicator rows; none where they were not made."""
    if frames is None or snapshot is None:
        return pd.DataFrame()
    try:
        return frames.read(f"indicators_{timeframe.value}", snapshot.session)
    except MissingResultError:
        return pd.DataFrame()


def _last_rows(frame: pd.DataFrame, symbol: str, snapshot: ScanSnapshot, count: int) -> pd.DataFrame:
    """The symbol's last indicator rows as known at the watchlist's instant."""
    if frame.empty:
        return frame
    return frame[(frame["symbol"] == symbol) & (frame["end"] <= snapshot.as_of)].tail(count)
