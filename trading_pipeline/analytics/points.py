"""Points for a number by a table of steps, and division that says null instead of infinite."""

from __future__ import annotations

import numpy as np

from trading_pipeline.analytics.windows import FloatArray

Steps = tuple[tuple[float, float], ...]
"""(bound, points) rows, the best first; the first bound that is met gives the points, none gives 0."""


def at_least(values: FloatArray, steps: Steps) -> FloatArray:
    """Points of the first step with value >= bound; NaN has none."""
    return np.asarray(np.select([values >= bound for bound, _ in steps], [points for _, points in steps], 0.0))


def at_most(values: FloatArray, steps: Steps) -> FloatArray:
    """Points of the first step with value <= bound; NaN has none."""
    return np.asarray(np.select([values <= bound for bound, _ in steps], [points for _, points in steps], 0.0))


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """numerator / denominator; NaN where the denominator is zero or NaN. Never infinite for finite input."""
    return np.asarray(numerator / np.where(denominator != 0, denominator, np.nan))
