"""How daily returns move together: the table of returns, and Pearson correlations of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.analytics.schemas import require_columns
from trading_pipeline.domain.errors import FrameContractError

FloatArray = npt.NDArray[np.float64]


def daily_returns(daily: pd.DataFrame, sessions: Sequence[date]) -> pd.DataFrame:
    """Simple returns of each of `sessions` but the first: close over the session before's close, less 1.

    daily: a bar frame of 1d bars (symbol, session, close in adjusted USD per share); sessions: ascending.
    Returns float64, one row per session from the second on, one column per symbol (sorted); NaN where either close is
    missing, not finite or not above zero: no return spans a gap. Raises FrameContractError when a column is missing or
    a symbol has a session twice.
    """
    require_columns(daily, ("symbol", "session", "close"), "daily bar")
    if daily.duplicated(["symbol", "session"]).any():
        raise FrameContractError("a symbol has two daily bars in one session: read them through the bar store")
    table = daily.pivot_table(index="session", columns="symbol", values="close", aggfunc="first", dropna=False)
    closes = table.reindex(index=pd.DatetimeIndex(list(sessions))).sort_index(axis=1)
    levels = closes.to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        levels = np.where(np.isfinite(levels) & (levels > 0), levels, np.nan)
    returns = levels[1:] / levels[:-1] - 1
    return pd.DataFrame(returns, index=closes.index[1:], columns=closes.columns)


def pairwise_correlation(returns: pd.DataFrame, *, window: int) -> pd.DataFrame:
    """Pearson ρ of each pair over the last `window` rows, symbols × symbols, float64 in [−1, 1].

    returns: sessions × symbols, float64. A pair is NaN unless both have all `window` returns and both move: with fewer
    rows than the window everything is NaN. Convention: population moments cancel, so the divisor does not matter.
    Source: Pearson (1895).
    """
    last = returns.to_numpy(np.float64)[-window:]
    complete = np.isfinite(last).all(axis=0) & (len(last) == window)
    centred = np.where(complete, last - last.mean(axis=0), 0.0) if len(last) else last
    norms = np.sqrt((centred**2).sum(axis=0))
    largest = np.abs(last).max(axis=0, initial=0.0)
    moves = complete & (norms > 1e-12 * np.where(complete, largest, 0.0)) & (norms > 0)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=moves)
    rho = np.clip(unit.T @ unit, -1.0, 1.0)
    rho[~moves, :] = np.nan
    rho[:, ~moves] = np.nan
    return pd.DataFrame(rho, index=returns.columns, columns=returns.columns)
