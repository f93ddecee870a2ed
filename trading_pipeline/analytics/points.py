"""Points for a number by a table of steps, and division that says null instead of infinite."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from trading_pipeline.analytics.windows import FloatArray

Steps = tuple[tuple[float, float], ...]
"""(bound, points) rows; the first bound that is met gives the points, none gives 0."""


def _require_order(steps: Steps, sign: int) -> Steps:
    bounds = [bound * sign for bound, _ in steps]
    if bounds != sorted(set(bounds)) or any(points < 0 for _, points in steps):
        way = "rise" if sign > 0 else "fall"
        raise ValueError(f"the bounds {[bound for bound, _ in steps]} must {way} and no points be negative")
    return steps


FloorSteps = Annotated[Steps, AfterValidator(lambda steps: _require_order(steps, -1))]
"""Steps for at_least: the highest bound first."""
CeilingSteps = Annotated[Steps, AfterValidator(lambda steps: _require_order(steps, 1))]
"""Steps for at_most: the lowest bound first."""


def at_least(values: FloatArray, steps: Steps) -> FloatArray:
    """Points of the first step with value >= bound; NaN has none."""
    return np.asarray(np.select([values >= bound for bound, _ in steps], [points for _, points in steps], 0.0))


def at_most(values: FloatArray, steps: Steps) -> FloatArray:
    """Points of the first step with value <= bound; NaN has none."""
    return np.asarray(np.select([values <= bound for bound, _ in steps], [points for _, points in steps], 0.0))


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """numerator / denominator; NaN where the denominator is zero or NaN. Never infinite for finite input."""
    return np.asarray(numerator / np.where(denominator != 0, denominator, np.nan))
