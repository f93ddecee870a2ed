"""Historical Value at Risk of a book: what today's holdings would have lost on past sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd

from trading_pipeline.domain.errors import FrameContractError

VAR_SESSIONS = 250
MIN_SESSIONS = 100
"""Fewer usable sessions than that say nothing about the worst in a hundred."""


@dataclass(frozen=True, slots=True)
class ValueAtRisk:
    """Loss (USD, never below 0) that a day does not exceed with this confidence; NaN when unknown.

    sessions: how many past sessions it was read from; missing: holdings without any return.
    """

    confidence: float
    usd: float
    sessions: int
    missing: tuple[str, ...] = ()


def value_at_risk(
    values: Mapping[str, float], returns: pd.DataFrame, confidences: Sequence[float] = (0.95, 0.99)
) -> tuple[ValueAtRisk, ...]:
    """Historical 1-day VaR of holdings worth `values` (USD by symbol), one for each confidence in (0, 1).

    returns: sessions × symbols, float64, newest last; the last 250 rows are read. The P&L of a session is the sum of
    value × return; VaR is the ceil(confidence × n)-th smallest of the n losses, floored at 0: no interpolation.
    A session in which any holding lacks a return is left out; a holding without any return, or fewer than 100 sessions
    left, makes VaR NaN: unknown, not small. An empty book has 0.
    Raises FrameContractError for a value that is not finite or a confidence outside (0, 1).
    Source: RiskMetrics, historical simulation.
    """
    if not all(0 < confidence < 1 for confidence in confidences) or not np.isfinite(list(values.values())).all():
        raise FrameContractError(f"VaR needs confidences in (0, 1) and finite values: {confidences}, {dict(values)}")
    symbols = sorted(values)
    if not symbols:
        return tuple(ValueAtRisk(confidence, 0.0, 0) for confidence in confidences)
    held = returns.reindex(columns=symbols).to_numpy(np.float64)[-VAR_SESSIONS:]
    usable = held[np.isfinite(held).all(axis=1)]
    missing = tuple(name for name, column in zip(symbols, held.T, strict=True) if not np.isfinite(column).any())
    losses = np.sort(-(usable @ np.array([values[name] for name in symbols])))
    return tuple(ValueAtRisk(one, _loss_at(losses, one), len(losses), missing) for one in confidences)


def _loss_at(losses: np.ndarray, confidence: float) -> float:
    """losses: ascending, USD."""
    if len(losses) < MIN_SESSIONS:
        return float("nan")
    rank = ceil(round(confidence * len(losses), 9))  # 0.95 × 100 is 95, whatever binary says
    return max(0.0, float(losses[rank - 1]))
