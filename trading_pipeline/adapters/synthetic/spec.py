"""What a synthetic market is made from. The same spec gives the same bytes, on any day and any machine."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from trading_pipeline.domain.market import BASE_TIMEFRAMES, Timeframe

MIN_SESSIONS: Final = 110
MIN_SYMBOLS: Final = 8
LONGEST_MARKET: Final = 2_600


class SyntheticMarketSpec(BaseModel):
    """Seed, size and window of a synthetic market; never relative to today.

    The default window holds two half-days (one of them among the last five sessions), a change to winter time
    and five holidays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=7, ge=0, lt=2**63, description="Everything random comes from this number.")
    symbols: int = Field(
        default=40, le=4_000, description=f"Made-up stocks beside the four index ETFs; at least {MIN_SYMBOLS}."
    )
    first_session: date = Field(default=date(2024, 6, 20), description="Must be a session of the calendar.")
    sessions: int = Field(
        default=115, le=LONGEST_MARKET, description=f"Sessions from the first on; at least {MIN_SESSIONS}."
    )
    timeframe: Timeframe = Field(default=Timeframe.MIN1, description="Base bars: 1min or 5min.")
    reversals_per_symbol_year: float = Field(
        default=10.0, ge=0, le=60, description="Sell-offs that end in an intraday washout, per stock and 252 sessions."
    )
    final_uptrend_sessions: int = Field(
        default=30,
        ge=0,
        description="The market trends calmly up over the last sessions, so that a demo has trades to show.",
    )

    @field_validator("sessions")
    @classmethod
    def _long_enough_to_warm_up(cls, sessions: int) -> int:
        if sessions < MIN_SESSIONS:
            raise ValueError(
                f"{sessions} sessions are too few: the daily and 4h averages of the regime and the 60-session "
                f"correlation need history before the traded sessions; ask for at least {MIN_SESSIONS}"
            )
        return sessions

    @field_validator("symbols")
    @classmethod
    def _enough_for_every_special_case(cls, symbols: int) -> int:
        if symbols < MIN_SYMBOLS:
            raise ValueError(
                f"{symbols} symbols are too few: one is split, one halted, one listed late and one delisted; "
                f"ask for at least {MIN_SYMBOLS}"
            )
        return symbols

    @field_validator("timeframe")
    @classmethod
    def _a_base_timeframe(cls, timeframe: Timeframe) -> Timeframe:
        if timeframe not in BASE_TIMEFRAMES:
            raise ValueError(f"{timeframe} bars are derived, not generated; ask for {' or '.join(BASE_TIMEFRAMES)}")
        return timeframe


def random_stream(spec: SyntheticMarketSpec, *path: int) -> np.random.Generator:
    """The generator of one purpose: the same (seed, path) always draws the same numbers, in any order of use."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([spec.seed, *path])))
