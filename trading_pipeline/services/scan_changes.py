"""What a scan of a session has changed against the scan before it, in words: for people who look in once an hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from trading_pipeline.analytics import watchlist
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.ports import ResearchStore

FIRST, SAME = "the first scan of the session", "nothing has changed"


def stored_scan(frames: ResearchStore, name: str, session: date) -> pd.DataFrame | None:
    """The newest scan on file, before another one replaces it; None when there is none."""
    try:
        return newest(frames.read(name, session))
    except MissingResultError:
        return None


def newest(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the newest `as_of`."""
    rows: pd.DataFrame = frame[frame["as_of"] == frame["as_of"].max()]
    return rows


def screen_changes(before: pd.DataFrame | None, frame: pd.DataFrame) -> str:
    """Who is handed on by the newest coarse screen and was not by the one before, and the other way round."""
    if before is None:
        return FIRST
    now, then = _handed_off(newest(frame)), _handed_off(before)
    return _words(before, [("in", sorted(now - then)), ("out", sorted(then - now))])


def regime_changes(before: pd.DataFrame | None, frame: pd.DataFrame) -> str:
    """How score and class of the regime have moved."""
    if before is None or before.empty:
        return FIRST
    then, now = before.iloc[-1], newest(frame).iloc[-1]
    moved = f"{then['score']:.0f} -> {now['score']:.0f}" if then["score"] != now["score"] else ""
    kind = f"{then['regime_class']} -> {now['regime_class']}" if then["regime_class"] != now["regime_class"] else ""
    return _words(before, [("score", [moved] if moved else []), ("class", [kind] if kind else [])])


def watchlist_changes(before: pd.DataFrame | None, frame: pd.DataFrame) -> str:
    """Who has entered and left the watchlist, who moved on it, and who is graded A+ now."""
    if before is None:
        return FIRST
    found = watchlist.changes(_scored(newest(frame)), _scored(before))
    return _words(before, [(name.replace("_", " "), rows) for name, rows in found.items()])


def _handed_off(scan: pd.DataFrame) -> set[str]:
    return set(scan.loc[scan["handed_off"].astype(bool), "symbol"])


def _scored(scan: pd.DataFrame) -> pd.DataFrame:
    return scan[scan["scored"].astype(bool)]


def _words(before: pd.DataFrame, changes: Sequence[tuple[str, Sequence[str]]]) -> str:
    found = "; ".join(f"{name}: {', '.join(rows)}" for name, rows in changes if rows) or SAME
    return f"{found} (since the scan of {before['as_of'].max():%H:%M} UTC)" if len(before) else found
