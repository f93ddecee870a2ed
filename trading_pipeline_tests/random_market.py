"""Random markets for properties: 15-minute walks and the 1h and 4h bars that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

BARS_PER_SESSION = 26
OPENS_AT = pd.Timedelta(hours=14, minutes=30)
MINUTES = {"15min": 15, "1h": 60, "4h": 240}


def sessions_from(first: str, count: int) -> pd.DatetimeIndex:
    """`count` weekdays from `first`, as naive midnights; every one opens at 14:30 UTC for six and a half hours."""
    return pd.bdate_range(first, periods=count).as_unit("ns")


def opens_at(sessions: pd.DatetimeIndex) -> dict[pd.Timestamp, pd.Timestamp]:
    """Session -> its opening instant (aware UTC)."""
    return {session: session.tz_localize("UTC") + OPENS_AT for session in sessions}


def random_bars(
    seed: int, symbols: int | Sequence[str], sessions: int, timeframe: str = "15min", *, missing: float = 0.0
) -> pd.DataFrame:
    """Bars of a random walk, per schemas.BAR_COLUMNS; the same seed gives the same market on every timeframe.

    missing: fraction of 15-minute bars that are absent (a thin symbol). A symbol's walk depends on the seed and its
    name only, so a subset of symbols is a subset of rows.
    """
    names = [f"S{i:03d}" for i in range(symbols)] if isinstance(symbols, int) else sorted(symbols)
    days = sessions_from("2025-01-06", sessions)
    base = pd.concat([_walk(seed, name, days, missing) for name in names], ignore_index=True)
    return base if timeframe == "15min" else aggregate(base, timeframe)


def _walk(seed: int, name: str, days: pd.DatetimeIndex, missing: float) -> pd.DataFrame:
    random = np.random.default_rng([seed, *name.encode()])
    bars = len(days) * BARS_PER_SESSION
    scale = 0.004 * np.exp(random.normal(0, 0.3))
    steps = random.normal(0, scale, bars) + np.repeat(random.normal(0, scale / 2, len(days)), BARS_PER_SESSION)
    # a little mean reversion, so that oversold stretches and turns are common
    steps -= 0.5 * scale * np.sin(np.arange(bars) * 2 * np.pi / random.uniform(40, 120))
    close = np.round(random.uniform(10, 300) * np.exp(np.cumsum(steps)), 2)
    opened = np.round(np.concatenate((close[:1], close[:-1])) * np.exp(random.normal(0, scale / 3, bars)), 2)
    high = np.round(np.maximum(opened, close) * (1 + np.abs(random.normal(0, scale / 2, bars))), 2)
    low = np.round(np.minimum(opened, close) * (1 - np.abs(random.normal(0, scale / 2, bars))), 2)
    curve = 1 + 2 * np.linspace(-1, 1, BARS_PER_SESSION) ** 2
    volume = np.round(np.tile(curve, len(days)) * random.lognormal(10, 0.6, bars))
    session = days.repeat(BARS_PER_SESSION)
    offset = pd.to_timedelta(np.tile(np.arange(BARS_PER_SESSION) * 15, len(days)), unit="m").as_unit("ns")
    start = (session + OPENS_AT + offset).tz_localize("UTC")
    frame = pd.DataFrame(
        {
            "symbol": name,
            "session": session,
            "start": start,
            "end": start + pd.Timedelta(minutes=15),
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "vwap": np.round((high + low + close) / 3, 4),
            "trade_count": np.ceil(volume / 100),
        }
    )
    return frame[random.random(bars) >= missing].reset_index(drop=True)


def aggregate(base: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Session-anchored bars of `timeframe` from 15-minute bars; the last one of a session is shorter."""
    opened = base["session"].dt.tz_localize("UTC") + OPENS_AT
    slot = (base["start"] - opened) // pd.Timedelta(minutes=MINUTES[timeframe])
    groups = base.assign(slot=slot, traded=base["vwap"] * base["volume"]).groupby(["symbol", "session", "slot"])
    bars = groups.agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", "sum"), traded=("traded", "sum"), trade_count=("trade_count", "sum"),
    ).reset_index()  # fmt: skip
    opened = bars["session"].dt.tz_localize("UTC") + OPENS_AT
    bars["start"] = opened + bars["slot"] * pd.Timedelta(minutes=MINUTES[timeframe])
    closes = opened + pd.Timedelta(hours=6, minutes=30)
    bars["end"] = np.minimum(bars["start"] + pd.Timedelta(minutes=MINUTES[timeframe]), closes)
    bars["vwap"] = bars["traded"] / bars["volume"]
    return bars[list(base.columns)]
