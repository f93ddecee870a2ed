"""The regime in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trading_pipeline.analytics.breadth import UNKNOWN

BREADTH_COUNTS = ("advances", "declines", "new_highs", "new_lows")


def describe(row: Mapping[str, Any] | pd.Series) -> str:
    """A few plain sentences for the pre-market report from one row of regime.score_regime."""
    details = row["details"]
    vix, breadth, correlation = details["vix"], details["breadth"], details["correlation"]
    level = UNKNOWN if vix["level"] is None else f"{vix['level']:.2f} ({vix['label']})"
    mean = UNKNOWN if correlation["mean"] is None else f"{correlation['mean']:.2f}"
    positions = "1 position" if row["positions_allowed"] == 1 else f"{row['positions_allowed']} positions"
    counts = ", ".join(f"{breadth[name]} {name.replace('_', ' ')}" for name in BREADTH_COUNTS)
    sentences = [
        f"The regime is {row['regime_class']} with a score of {row['score']:.0f} of 100.",
        f"Trend {row['trend']}: {row['trend_points']:.0f} points.",
        f"Volatility, VIX {level}: {row['volatility_points']:.0f} points.",
        f"Breadth {breadth['label']}, {counts}: {row['breadth_points']:.0f} points.",
        f"Correlation of the indices {mean}: {row['correlation_points']:.0f} points.",
        f"Size multiplier {row['size_multiplier']:g}, at most {positions}.",
        *details["recommendations"],
        *(f"Missing: {name}." for name in row["missing"]),
    ]
    return " ".join(sentences)


def recommendations(result: Mapping[str, Any], details: Mapping[str, Any]) -> list[str]:
    """What follows from a regime, one sentence each."""
    multiplier = result["size_multiplier"]
    if multiplier > 1:
        advice = [f"Conditions are favourable: size entries at {multiplier:g} times the base size, within all limits."]
    elif multiplier == 1:
        advice = ["Conditions are fair: size entries at the base size."]
    else:
        advice = [f"Conditions are poor: size entries at {multiplier:g} of the base size."]
    if result["only_a_plus"]:
        advice.append("Trade only A+ setups.")
    if result["trend"] == "bearish":
        advice.append("The trend is against long entries.")
    if result["regime_class"].endswith("HIGH_VOL"):
        advice.append("Volatility is high or unknown: expect wide ranges and gaps through stops.")
    if details["breadth"]["label"] in ("negative", UNKNOWN):
        advice.append("Few symbols carry the market, or their number is unknown: be selective.")
    if result["missing"]:
        advice.append("Restore the missing inputs before trusting this score.")
    return advice
