"""Performance over many sessions: curves and ratios. Frames in, figures out; money in USD (float64)."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_pipeline.domain.errors import FrameContractError

SESSIONS_PER_YEAR = 252


def equity_curve(points: pd.Series[float], *, opening_equity_usd: float, opened_at: datetime) -> pd.Series[float]:
    """Account value by instant, beginning with the opening equity (E-34).

    points: equity in USD (cash plus open positions) indexed by ascending instants after `opened_at`; may be empty.
    Raises FrameContractError when instants do not ascend or a value is not finite.
    """
    _require_curve(points)
    if len(points) and points.index[0] <= opened_at:
        raise FrameContractError(f"the first equity point ({points.index[0]}) is not after the opening ({opened_at})")
    opening = pd.Series([float(opening_equity_usd)], index=pd.DatetimeIndex([opened_at]), dtype="float64")
    return pd.concat([opening, points.astype("float64")]) if len(points) else opening


def daily_returns(closing_equity: pd.Series[float], *, opening_equity_usd: float) -> pd.Series[float]:
    """Fractional change of equity per session, sessions without trades included (E-32).

    closing_equity: USD, one value per session, ascending; the first is measured against the opening equity.
    Same length and index. Raises FrameContractError when sessions do not ascend or an equity is not above zero.
    """
    _require_curve(closing_equity)
    before = closing_equity.astype("float64").shift(1)
    if len(before):
        before.iloc[0] = opening_equity_usd
    if not (before > 0).all():
        raise FrameContractError("an equity of zero or less has no return: check the equity points of that session")
    return closing_equity / before - 1.0


def sharpe(returns: pd.Series[float]) -> float:
    """Annualised Sharpe ratio of daily returns: mean / sample deviation × √252, risk-free rate zero (S0-47).

    Zero with fewer than two returns or when they do not deviate. Raises FrameContractError for NaN or infinity.
    Source: Sharpe, The Sharpe Ratio (1994).
    """
    values = _finite(returns, "returns")
    if len(values) < 2 or np.ptp(values) == 0.0:
        return 0.0
    return float(values.mean() / values.std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR))


def max_drawdown(equity: pd.Series[float]) -> float:
    """Deepest fall from a peak, as a fraction of that peak: ≤ 0, and zero for a curve that never falls.

    Raises FrameContractError for NaN, infinity, or a curve that starts at zero or less.
    """
    values = _finite(equity, "equity")
    if not len(values):
        return 0.0
    if values[0] <= 0:
        raise FrameContractError(f"an equity curve starts above zero, not at {values[0]}")
    peaks = np.maximum.accumulate(values)
    return float(min(0.0, (values / peaks - 1.0).min()))


def total_return(equity: pd.Series[float]) -> float:
    """Last over first value of the curve, minus one; zero for fewer than two points."""
    values = _finite(equity, "equity")
    return float(values[-1] / values[0] - 1.0) if len(values) > 1 and values[0] > 0 else 0.0


def win_rate(net_usd: pd.Series[float]) -> float | None:
    """Wins over wins and losses by net P&L per trade; break-even is neither (E-31). None when there are neither."""
    values = _finite(net_usd, "net P&L")
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    return wins / (wins + losses) if wins + losses else None


def profit_factor(net_usd: pd.Series[float]) -> float | None:
    """Sum of net wins over sum of net losses (≥ 0); None without a loss, where it is not defined."""
    values = _finite(net_usd, "net P&L")
    lost = -float(values[values < 0].sum())
    return float(values[values > 0].sum()) / lost if lost > 0 else None


def _finite(numbers: pd.Series[float], what: str) -> npt.NDArray[np.float64]:
    values = np.asarray(numbers, dtype=np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise FrameContractError(f"{bad} of {len(values)} values of {what} are NaN or infinite: check their source")
    return values


def _require_curve(curve: pd.Series[float]) -> None:
    _finite(curve, "equity")
    if not (curve.index.is_monotonic_increasing and curve.index.is_unique):
        raise FrameContractError("equity must be in ascending order, one value per instant or session")
