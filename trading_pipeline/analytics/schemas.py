"""What frames look like: columns, types and order, checked where a frame enters the analytics."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trading_pipeline.domain.errors import FrameContractError

UTC_NS = "datetime64[ns, UTC]"
SESSION_NS = "datetime64[ns]"

BAR_COLUMNS = ("symbol", "session", "start", "end", "open", "high", "low", "close", "volume", "vwap", "trade_count")
"""A bar frame: symbol str; session midnight datetime64[ns]; start, end datetime64[ns, UTC]; the rest float64.

One row per symbol and start, sorted by symbol, then start; prices in USD per share. vwap and trade_count may be NaN.
"""
STORED_BAR_COLUMNS = (*BAR_COLUMNS, "known_at", "adjustment", "adjusted_through", "feed")
"""As stored: known_at datetime64[ns, UTC]; adjustment "raw", "split", "all"; adjusted_through datetime64[ns] or NaT.

feed: what a vendor made the bar of (sip, iex, ib); missing for files and made-up markets.
"""


def require_columns(frame: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Return `frame`; raises FrameContractError naming the columns it lacks."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise FrameContractError(
            f"the {what} frame lacks {len(missing)} of {len(columns)} columns: {', '.join(missing)}. "
            f"It has: {', '.join(map(str, frame.columns))}"
        )
    return frame


def require_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` when it is a bar frame: columns present, sorted by symbol and start, no duplicates.

    Raises FrameContractError otherwise.
    """
    require_columns(frame, BAR_COLUMNS[:9], "bar")
    order = pd.MultiIndex.from_frame(frame[["symbol", "start"]])
    if not order.is_unique or not order.is_monotonic_increasing:
        raise FrameContractError(
            f"a bar frame of {len(frame)} rows is not sorted by symbol and start without duplicates; "
            "read bars through the bar store, which guarantees both"
        )
    return frame
