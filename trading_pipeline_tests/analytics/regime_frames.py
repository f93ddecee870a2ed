"""Frames for tests of the regime: a calm, bullish market that each test spoils in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from trading_pipeline.analytics.regime import RegimeRules, score_regime

SESSIONS = pd.bdate_range("2024-01-02", periods=262).as_unit("ns")
PAST, TODAY = SESSIONS[:-1], SESSIONS[-1]
YESTERDAY = PAST[-1]
INDICES = ("SPY", "QQQ", "IWM", "DIA")
BULL = {"close": 105.0, "sma_20": 104.0, "sma_50": 100.0, "sma_200": 99.0, "rsi": 52.0}
OPENS_AT = TODAY.tz_localize("UTC") + pd.Timedelta(hours=14, minutes=30)


def at(clock: str, session: pd.Timestamp = TODAY) -> pd.Timestamp:
    """UTC instant of a session."""
    return session.tz_localize("UTC") + pd.Timedelta(f"{clock}:00")


PRE_MARKET, MORNING = at("12:00"), at("15:30")


def daily(symbols: Sequence[str], sessions: pd.DatetimeIndex, closes: np.ndarray) -> pd.DataFrame:
    """Daily bars ending 21:00 UTC; closes: sessions × symbols. High and low are 1 % away."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "session": sessions,
                    "end": sessions.tz_localize("UTC") + pd.Timedelta(hours=21),
                    "close": column,
                    "high": column * 1.01,
                    "low": column * 0.99,
                }
            )
            for symbol, column in zip(symbols, closes.T, strict=True)
        ],
        ignore_index=True,
    )


def walk(seed: int, sessions: int, symbols: int, *, together: float = 0.0) -> np.ndarray:
    """Random closes, sessions × symbols; `together` is the share of variance the symbols have in common."""
    random = np.random.default_rng(seed)
    own, common = random.normal(0, 0.01, (sessions, symbols)), random.normal(0, 0.01, (sessions, 1))
    return np.asarray(100 * np.exp(np.cumsum(np.sqrt(together) * common + np.sqrt(1 - together) * own, axis=0)))


def index_rows(frame: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """Rows with indicator columns the tests choose; close is kept where `values` has none."""
    return frame.assign(**values)


def prices(as_of: Sequence[pd.Timestamp], values: Mapping[str, float]) -> pd.DataFrame:
    """The same last prices at each instant."""
    rows = [(moment, symbol, price) for moment in as_of for symbol, price in values.items()]
    return pd.DataFrame(rows, columns=["as_of", "symbol", "price"])


@dataclass(frozen=True)
class World:
    """Everything score_regime reads."""

    indices_4h: pd.DataFrame
    indices_1d: pd.DataFrame
    vix_1d: pd.DataFrame
    universe_1d: pd.DataFrame
    last_prices: pd.DataFrame
    as_of: tuple[pd.Timestamp, ...] = (MORNING,)
    rules: RegimeRules = field(default_factory=RegimeRules)
    previous_session: date | None = None
    opens_at: pd.Timestamp | None = None

    def scored(self, **changes: Any) -> pd.DataFrame:
        """The regime after the given changes."""
        world = replace(self, **changes)
        return score_regime(session=TODAY.date(), **{name: getattr(world, name) for name in world.__dataclass_fields__})

    def row(self, **changes: Any) -> Mapping[Any, Any]:
        """The only row of the regime after the given changes."""
        rows: list[dict[Any, Any]] = self.scored(**changes).to_dict("records")
        assert len(rows) == 1
        return rows[0]


UNIVERSE = tuple(f"U{i}" for i in range(10))


def calm_bull() -> World:
    """Bullish indices, VIX 14, seven of ten symbols up with three new highs, correlation near 0.6: the score is 100."""
    closes = daily(INDICES, PAST, walk(3, len(PAST), 4, together=0.6))
    flat = np.full((len(PAST), len(UNIVERSE)), 50.0)
    moved = {symbol: 51.0 if i < 3 else 50.2 if i < 7 else 49.9 for i, symbol in enumerate(UNIVERSE)}
    return World(
        indices_4h=index_rows(closes, BULL),
        indices_1d=index_rows(closes, {name: value for name, value in BULL.items() if name != "close"}),
        vix_1d=daily(("VIX",), PAST, np.full((len(PAST), 1), 14.0)),
        universe_1d=daily(UNIVERSE, PAST, flat),
        last_prices=prices([MORNING], moved),
    )
