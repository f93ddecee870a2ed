"""From scored setups to the watchlist: rank, selection, and what changed since the snapshot before."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.analytics.schemas import require_columns
from trading_pipeline.analytics.screening import ranks
from trading_pipeline.domain.errors import FrameContractError


class WatchlistRules(BaseModel):
    """Which setups are put before the trader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_symbols: int = Field(default=20, ge=1, le=1000, description="per snapshot")
    grades: tuple[str, ...] = Field(default=("A+", "A"), min_length=1)


def select(scored: pd.DataFrame, rules: WatchlistRules) -> pd.DataFrame:
    """Add rank and selected to the rows score_setups returns.

    scored: columns as_of, symbol, score, grade, scored. rank (int64) counts from 1 within each as_of over the scored
    rows, by score descending, then symbol; 0 for rejected ones. selected: the first rules.max_symbols of the listed
    grades, in that order. Every row is kept, in its order. Raises FrameContractError for missing columns.
    """
    require_columns(scored, ("as_of", "symbol", "score", "grade", "scored"), "setup")
    out = scored.reset_index(drop=True)
    counted = out["scored"].to_numpy(dtype=bool)
    listed = counted & out["grade"].isin(rules.grades).to_numpy(dtype=bool)
    place = ranks(out, listed)
    return out.assign(rank=ranks(out, counted), selected=listed & (place <= rules.max_symbols))


def changes(current: pd.DataFrame, previous: pd.DataFrame) -> dict[str, list[str]]:
    """What changed on the watchlist between two snapshots, each key a list of symbols in alphabetical order.

    current, previous: rows of one as_of each, as select returns them; either may be empty.
    entered, left: selected now and not before, or before and not now. moved: selected in both, as "SYMBOL 3->1" by
    rank. new_a_plus: graded A+ now and not before, selected or not. Raises FrameContractError for missing columns and
    for rows of more than one as_of.
    """
    now, before = _one_snapshot(current), _one_snapshot(previous)
    listed, earlier = _ranks_of_selected(now), _ranks_of_selected(before)
    both = sorted(set(listed) & set(earlier))
    return {
        "entered": sorted(set(listed) - set(earlier)),
        "left": sorted(set(earlier) - set(listed)),
        "moved": [
            f"{symbol} {earlier[symbol]}->{listed[symbol]}" for symbol in both if earlier[symbol] != listed[symbol]
        ],
        "new_a_plus": sorted(_a_plus(now) - _a_plus(before)),
    }


def _one_snapshot(frame: pd.DataFrame) -> pd.DataFrame:
    require_columns(frame, ("as_of", "symbol", "grade", "rank", "selected"), "watchlist")
    moments = len(frame["as_of"].unique())
    if moments > 1:
        raise FrameContractError(f"{moments} snapshots were passed where one is compared with another: pass one as_of")
    return frame


def _ranks_of_selected(frame: pd.DataFrame) -> dict[str, int]:
    chosen = frame[frame["selected"].to_numpy(dtype=bool)]
    return {str(symbol): int(rank) for symbol, rank in zip(chosen["symbol"], chosen["rank"], strict=True)}


def _a_plus(frame: pd.DataFrame) -> set[str]:
    return {str(symbol) for symbol in frame["symbol"][np.asarray(frame["grade"] == "A+", dtype=bool)]}
