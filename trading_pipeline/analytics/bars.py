"""Session-anchored roll-ups of base bars, and back-adjusted views of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.analytics.schemas import (
    BAR_COLUMNS,
    SESSION_NS,
    UTC_NS,
    require_bars,
    require_columns,
)
from trading_pipeline.domain.bar_building import MinuteBar
from trading_pipeline.domain.errors import FrameContractError
from trading_pipeline.domain.market import Adjustment, SessionTimes, Timeframe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ACTION_COLUMNS = ("symbol", "ex_date", "kind", "value")
"""Corporate actions: symbol str; ex_date datetime64[ns]; kind "split" (value: new shares per old, 4.0 or 1/3) or
"dividend" (value: USD per share). An optional known_at (datetime64[ns, UTC]) says when we learned it."""
PRICE_COLUMNS = ("open", "high", "low", "close", "vwap")
NANOSECONDS_PER_MINUTE = 60_000_000_000


def session_table(times: Sequence[SessionTimes]) -> pd.DataFrame:
    """Sessions as a frame: session datetime64[ns]; opens_at, closes_at datetime64[ns, UTC]; ascending by session."""
    ordered = sorted(times, key=lambda one: one.session)
    return pd.DataFrame(
        {
            "session": pd.Series([one.session for one in ordered], dtype=SESSION_NS),
            "opens_at": pd.Series([one.opens_at for one in ordered], dtype=UTC_NS),
            "closes_at": pd.Series([one.closes_at for one in ordered], dtype=UTC_NS),
        }
    )


def as_ns(column: pd.Series) -> IntArray:
    """A datetime column, aware or not, as int64 nanoseconds since 1970 UTC."""
    naive = column.dt.tz_localize(None) if column.dt.tz is not None else column
    return np.asarray(naive.to_numpy(dtype=SESSION_NS).view(np.int64), dtype=np.int64)


def roll_up(base: pd.DataFrame, timeframe: Timeframe, table: pd.DataFrame) -> pd.DataFrame:
    """Bars of `timeframe` from shorter bars of any symbols and sessions, in one pass.

    base: a bar frame (sorted by symbol, start); table: the session_table of at least its sessions.
    Returns a bar frame of the same units. A derived bar exists when at least one base bar falls in it, starts on the
    grid of its own session's open and ends there or, for the last one, at the session's own close; 1d spans the
    session. open first, high max, low min, close last, volume and trade_count summed. vwap is weighted by volume and
    NaN when the volume is zero or a bar that traded has none; trade_count is NaN when any part is.
    Raises FrameContractError for unsorted or duplicate rows, a session that is not in the table, a row outside its
    session, or one longer than `timeframe`.
    """
    require_bars(base)
    if base.empty:
        return _bar_frame(base)
    opens, closes = _session_bounds(base, table)
    start, end = as_ns(base["start"]), as_ns(base["end"])
    _refuse(base, (start < opens) | (end > closes), "lie outside their own session; import them, so they are set aside")
    bar_start, bar_end = _grid(start, opens, closes, timeframe)
    _refuse(base, end > bar_end, f"do not fit into one {timeframe} bar; roll up from shorter bars")
    first = _first_rows(base["symbol"], bar_start)
    return _aggregate(base, first, bar_start[first], bar_end[first])


def _bar_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the bar columns; what it lacks is NaN."""
    return frame.reindex(columns=list(BAR_COLUMNS)).reset_index(drop=True)


def _session_bounds(base: pd.DataFrame, table: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Open and close (ns) of each row's session."""
    known, session = as_ns(table["session"]), as_ns(base["session"])
    if not len(known):
        raise FrameContractError("the session table is empty: pass the times of every session in the bars")
    at = np.minimum(np.searchsorted(known, session), len(known) - 1)
    _refuse(base, known[at] != session, "belong to a date that is not in the session table")
    return as_ns(table["opens_at"])[at], as_ns(table["closes_at"])[at]


def _refuse(base: pd.DataFrame, wrong: BoolArray, why: str) -> None:
    if not wrong.any():
        return
    row = base.iloc[int(np.argmax(wrong))]
    raise FrameContractError(
        f"{int(wrong.sum())} of {len(base)} bars {why} (first: {row['symbol']} {row['start']}, session "
        f"{row['session']:%Y-%m-%d})"
    )


def _grid(start: IntArray, opens: IntArray, closes: IntArray, timeframe: Timeframe) -> tuple[IntArray, IntArray]:
    """Start and end (ns) of the derived bar each row falls into."""
    if timeframe is Timeframe.DAY1:
        return opens, closes
    length = timeframe.minutes * NANOSECONDS_PER_MINUTE
    bar_start = opens + (start - opens) // length * length
    return bar_start, np.minimum(bar_start + length, closes)


def _first_rows(symbol: pd.Series, bar_start: IntArray) -> IntArray:
    """Positions at which a new derived bar begins; rows are sorted, so a bar's rows lie together."""
    codes, _ = pd.factorize(symbol)
    changed = (codes[1:] != codes[:-1]) | (bar_start[1:] != bar_start[:-1])
    return np.flatnonzero(np.r_[True, changed]).astype(np.int64)


def _aggregate(base: pd.DataFrame, first: IntArray, bar_start: IntArray, bar_end: IntArray) -> pd.DataFrame:
    last = np.r_[first[1:], len(base)] - 1
    volume = np.add.reduceat(_floats(base, "volume"), first)
    return pd.DataFrame(
        {
            "symbol": base["symbol"].take(first).array,
            "session": base["session"].take(first).array,
            "start": pd.to_datetime(bar_start, unit="ns", utc=True),
            "end": pd.to_datetime(bar_end, unit="ns", utc=True),
            "open": _floats(base, "open")[first],
            "high": np.maximum.reduceat(_floats(base, "high"), first),
            "low": np.minimum.reduceat(_floats(base, "low"), first),
            "close": _floats(base, "close")[last],
            "volume": volume,
            "vwap": _weighted_vwap(base, first, volume),
            "trade_count": np.add.reduceat(_floats(base, "trade_count"), first),
        }
    )


def _floats(frame: pd.DataFrame, column: str) -> FloatArray:
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype=np.float64)


def _weighted_vwap(base: pd.DataFrame, first: IntArray, volume: FloatArray) -> FloatArray:
    traded = _floats(base, "volume")
    # a bar without trades has no vwap and no weight; NaN from one that traded must reach the sum
    paid = np.where(traded > 0, _floats(base, "vwap") * traded, 0.0)
    weighted: FloatArray = np.full(len(first), np.nan)
    np.divide(np.add.reduceat(paid, first), volume, out=weighted, where=volume > 0)
    return weighted


def adjust(
    bars: pd.DataFrame,
    actions: pd.DataFrame,
    as_of: date,
    *,
    dividends: bool = False,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Bars back-adjusted to the units of session `as_of`: that session's own prices equal what was traded.

    bars: a bar frame, with `adjustment` and `adjusted_through` where it was delivered adjusted (else raw);
    actions: ACTION_COLUMNS. Returns the same rows and columns; a split n:m multiplies volume and divides prices by n/m.
    Raw rows get every split with row.session < ex_date ≤ as_of. Rows delivered adjusted through X already carry those
    with row.session < ex_date ≤ X: of these the ones after as_of are undone (prices times ratio), so nothing that
    happened after as_of can be seen, and those with X < ex_date ≤ as_of are still applied. "all" is treated as "split"
    for splits; the dividends in it are not undone.
    dividends: also multiply prices before an ex_date ≤ as_of by (1 − amount / previous close), where not yet applied.
    known_at: apply only actions known then (undoing always uses all: it is a fact about the delivery).
    Raises FrameContractError for a missing column, unsorted bars, or an action whose value is not finite and positive.
    Source: CRSP-style backward price adjustment factors.
    """
    require_bars(bars)
    require_columns(actions, ACTION_COLUMNS, "corporate action")
    require_action_values(actions)
    price, volume = _split_factors(bars, actions, as_of, known_at)
    if dividends:
        price *= _dividend_factors(bars, actions, as_of, known_at)
    adjusted = bars.copy()
    for column in (name for name in PRICE_COLUMNS if name in bars.columns):
        adjusted[column] = _floats(bars, column) * price
    adjusted["volume"] = _floats(bars, "volume") * volume
    return adjusted


def require_action_values(actions: pd.DataFrame) -> None:
    """Raise FrameContractError when a corporate action's value is not finite and above zero."""
    value = actions["value"].to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(value) & (value > 0))
    if wrong.any():
        bad = actions[wrong].iloc[0]
        raise FrameContractError(
            f"{int(wrong.sum())} of {len(actions)} corporate actions have a value that is not above zero "
            f"(first: {bad['symbol']} {bad['ex_date']:%Y-%m-%d} {bad['kind']} {bad['value']})"
        )


def _split_factors(
    bars: pd.DataFrame, actions: pd.DataFrame, as_of: date, known_at: datetime | None
) -> tuple[FloatArray, FloatArray]:
    """What to multiply each row's prices and volume by."""
    price, volume = np.ones(len(bars)), np.ones(len(bars))
    for rows, before, carried, action in _matches(bars, actions, "split", Adjustment.SPLIT):
        wanted = before & _applies(action, as_of, known_at)
        ratio = float(action["value"])
        price[rows] *= np.where(wanted & ~carried, 1 / ratio, np.where(carried & ~wanted, ratio, 1.0))
        volume[rows] *= np.where(wanted & ~carried, ratio, np.where(carried & ~wanted, 1 / ratio, 1.0))
    return price, volume


def _dividend_factors(bars: pd.DataFrame, actions: pd.DataFrame, as_of: date, known_at: datetime | None) -> FloatArray:
    factor = np.ones(len(bars))
    for rows, before, carried, action in _matches(bars, actions, "dividend", Adjustment.ALL):
        if not before.any() or not _applies(action, as_of, known_at):
            continue
        eve = bars.iloc[rows][before].tail(1)
        split, _ = _split_factors(eve, actions, action["ex_date"].date(), known_at)
        previous_close = float(eve["close"].iloc[0]) * split[0]
        factor[rows] *= np.where(before & ~carried, 1 - float(action["value"]) / previous_close, 1.0)
    return factor


def _applies(action: pd.Series, as_of: date, known_at: datetime | None) -> bool:
    known = known_at is None or "known_at" not in action.index or action["known_at"] <= known_at
    return bool(action["ex_date"] <= pd.Timestamp(as_of)) and bool(known)


def _matches(
    bars: pd.DataFrame, actions: pd.DataFrame, kind: str, carrier: Adjustment
) -> Iterator[tuple[slice, BoolArray, BoolArray, pd.Series]]:
    """Per action: its symbol's rows, which of them lie before it, and which already carry it as delivered."""
    symbols, session = bars["symbol"], as_ns(bars["session"])
    through = as_ns(bars["adjusted_through"]) if "adjusted_through" in bars.columns else np.full(len(bars), -1)
    carriers = [Adjustment.ALL.value, carrier.value]
    delivered = bars["adjustment"].isin(carriers).to_numpy() if "adjustment" in bars.columns else through > through
    of_kind = actions[actions["kind"] == kind]
    for _, action in of_kind[of_kind["symbol"].isin(symbols.unique())].iterrows():
        rows = slice(int(symbols.searchsorted(action["symbol"])), int(symbols.searchsorted(action["symbol"], "right")))
        ex_date = pd.Timestamp(action["ex_date"]).as_unit("ns").value
        before = session[rows] < ex_date
        yield rows, before, before & delivered[rows] & (ex_date <= through[rows]), action


def minutes_of(rows: pd.DataFrame, arrived_at: datetime) -> list[MinuteBar]:
    """Minute bars of a delivery's frame (ports.BarDelivery.bars)."""
    names = BAR_COLUMNS[4:]
    numbers = [rows[name].tolist() for name in names]
    starts = [start.to_pydatetime() for start in rows["time"]]
    return [
        MinuteBar(symbol=str(symbol), start_at=start, arrived_at=arrived_at, **dict(zip(names, row, strict=True)))
        for symbol, start, *row in zip(rows["symbol"], starts, *numbers, strict=True)
    ]
