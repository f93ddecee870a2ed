"""Every number of SABR20 (strategy specification, section 5), with the value it ships with."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.analytics.points import CeilingSteps, FloorSteps
from trading_pipeline.domain.market import Timeframe

State = Literal["PreBottom", "BottomSoon", "BottomActive", "PostBottom"]

COMPONENTS = (
    *("setup_strength", "bottom_phase", "accumulation_intensity", "trend_momentum", "risk_reward", "volume_profile"),
)
RAW_MAX = dict(zip(COMPONENTS, (35.0, 25.0, 18.0, 20.0, 10.0, 2.0), strict=True))
"""The most raw points a component can have; a raw score is capped there."""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentWeights(_Rules):
    """What each component contributes to the score of 100 at its raw maximum."""

    setup_strength: float = Field(default=30, ge=0, le=100)
    bottom_phase: float = Field(default=22, ge=0, le=100)
    accumulation_intensity: float = Field(default=18, ge=0, le=100)
    trend_momentum: float = Field(default=18, ge=0, le=100)
    risk_reward: float = Field(default=10, ge=0, le=100)
    volume_profile: float = Field(default=2, ge=0, le=100)

    @model_validator(mode="after")
    def _add_up_to_100(self) -> Self:
        total = sum(self.of(name) for name in COMPONENTS)
        if abs(total - 100) > 1e-9:
            raise ValueError(f"the six weights add up to {total:g}; they must add up to 100")
        return self

    def of(self, component: str) -> float:
        """Weight of a component by name."""
        return float(getattr(self, component))


class AccumulationPhase(_Rules):
    """Where a phase lies in the ratio of stoch to rsi signals and in rsi; bounds are inclusive unless said."""

    name: str
    points: float = Field(ge=0)
    min_ratio: float = Field(ge=0)
    max_ratio: float = Field(ge=0)
    min_rsi: float = Field(default=0, ge=0, le=100)
    max_rsi: float = Field(default=100, ge=0, le=100)
    min_ratio_exclusive: bool = False
    min_rsi_exclusive: bool = False
    max_rsi_exclusive: bool = False


PHASES = (
    AccumulationPhase(
        name="Early",
        points=18,
        min_ratio=5,
        max_ratio=1e9,
        min_ratio_exclusive=True,
        max_rsi=45,
        max_rsi_exclusive=True,
    ),
    AccumulationPhase(name="Mid", points=14, min_ratio=3, max_ratio=5, max_rsi=50, max_rsi_exclusive=True),
    AccumulationPhase(name="Late", points=10, min_ratio=1.5, max_ratio=3, min_rsi=40, max_rsi=55),
    AccumulationPhase(name="Breakout", points=6, min_ratio=0.8, max_ratio=1.5, min_rsi=50, min_rsi_exclusive=True),
)
"""The first that fits names the phase; when none does it is Distribution, without points."""


class GradeRules(_Rules):
    """The least score (0–100) and reward:risk of each grade; A+ and A also need a bottoming state."""

    a_plus_min_score: float = Field(default=75, ge=0, le=100)
    a_plus_min_reward_risk: float = Field(default=2.0, ge=0)
    a_min_score: float = Field(default=65, ge=0, le=100)
    a_min_reward_risk: float = Field(default=1.5, ge=0)
    b_min_score: float = Field(default=55, ge=0, le=100)
    b_min_reward_risk: float = Field(default=1.2, ge=0)


class TriggerRules(_Rules):
    """The strict trigger: every condition must hold on all three timeframes."""

    t3_min_rsi: float = Field(default=35, ge=0, le=100, description="or rising")
    t2_stoch_below: float = Field(default=80, ge=0, le=100)
    t2_min_close_of_mid: float = Field(default=0.99, gt=0)
    t1_min_k: float = Field(default=25, ge=0, le=100)
    t1_min_rsi: float = Field(default=30, ge=0, le=100)
    t1_max_rsi: float = Field(default=60, ge=0, le=100)
    require_band_expansion: bool = Field(default=False, description="the T1 bands must be wider than one bar before")


class Sabr20Rules(_Rules):
    """Timeframes, windows, thresholds and points of the fine, multi-timeframe score."""

    t1: Timeframe = Field(
        default=Timeframe.MIN15, description="trigger timeframe; as_of is the close of one of its bars"
    )
    t2: Timeframe = Field(default=Timeframe.HOUR1, description="confirmation timeframe")
    t3: Timeframe = Field(default=Timeframe.HOUR4, description="regime timeframe")
    weights: ComponentWeights = ComponentWeights()
    grades: GradeRules = GradeRules()
    trigger: TriggerRules = TriggerRules()
    require_trigger: bool = Field(default=False, description="grade A+ and A only with the strict trigger")

    oversold: float = Field(default=20, ge=0, le=100, description="K and D at or below: a stoch signal may start")
    oversold_state: float = Field(default=25, ge=0, le=100, description="K or D at or below: the state is oversold")
    rsi_signal: float = Field(default=30, ge=0, le=100, description="rsi leaving this from below is an rsi signal")
    band_touch_factor: float = Field(
        default=1.02, ge=1, le=2, description="a close at or below lower band × this touches it"
    )
    band_touch_bars: int = Field(default=5, ge=1, le=50)
    active_band_min: float = Field(default=0.2, ge=-1, le=2, description="band position of BottomActive, inclusive")
    active_band_max: float = Field(default=0.5, ge=-1, le=2)
    post_band_above: float = Field(default=0.6, ge=-1, le=2, description="band position of PostBottom, exclusive")

    t1_points_per_k: float = Field(default=0.25, gt=0, description="points per point of K's rise")
    t1_max_k_points: float = Field(default=5, ge=0)
    t1_turn_points: float = Field(default=5, ge=0)
    t1_rising_points: float = Field(default=3, ge=0)
    t1_band_points: float = Field(default=5, ge=0)
    t1_mid_points: float = Field(default=3, ge=0)
    t2_positive_points: float = Field(default=6, ge=0)
    t2_rising_points: float = Field(default=4, ge=0)
    t2_stoch_below: float = Field(default=70, ge=0, le=100)
    t2_stoch_points: float = Field(default=3, ge=0)
    t2_mid_points: float = Field(default=3, ge=0)
    t3_rising_points: float = Field(default=4, ge=0)
    t3_hist_over_atr_above: float = Field(
        default=-2.0, description="a falling hist above this many atr still has points"
    )
    t3_shallow_points: float = Field(default=2, ge=0)
    t3_rsi_points: FloorSteps = ((45, 4), (35, 2))

    bottom_bars: int = Field(default=10, ge=2, le=50)
    lowest_k_points: CeilingSteps = ((10, 6), (15, 4), (20, 2))
    lowest_rsi_points: CeilingSteps = ((25, 4), (30, 2))
    since_low_points: CeilingSteps = ((5, 8), (10, 4))
    state_points: dict[State, float] = Field(
        default={"BottomActive": 7, "BottomSoon": 5, "PreBottom": 3, "PostBottom": 0}
    )

    accumulation_bars: int = Field(default=50, ge=11, le=500)
    phases: tuple[AccumulationPhase, ...] = PHASES
    recent_bars: int = Field(default=10, ge=1, le=50)
    recent_signal_points: FloorSteps = ((3, 2), (2, 1))

    slopes_points: float = Field(default=8, ge=0)
    last_slope_points: float = Field(default=5, ge=0)
    rsi_rise_points: FloorSteps = ((5, 6), (3, 4), (1, 2))
    rising_average_points: float = Field(default=6, ge=0)
    above_average_points: float = Field(default=3, ge=0)
    average_rise_bars: int = Field(
        default=5, ge=2, le=50, description="sma_20 against its first value of this many bars"
    )

    stop_bars: int = Field(default=10, ge=1, le=50)
    target_of_t2_mid: float = Field(default=1.02, gt=0)
    reward_risk_points: FloorSteps = ((3, 7), (2.5, 6), (2, 5), (1.5, 3))
    risk_percent_points: CeilingSteps = ((1.5, 3), (2.5, 2), (3.5, 1))
    volume_ratio_points: FloorSteps = ((1.5, 1.5), (1.0, 1.0), (0.7, 0.5))
    rising_volume_points: float = Field(default=0.5, ge=0)

    atr_mean_bars: int = Field(default=20, ge=1, le=200)
    pivot_bars: int = Field(default=20, ge=2, le=200)
    drawdown_bars: int = Field(default=20, ge=2, le=200)

    @model_validator(mode="after")
    def _timeframes_ascend(self) -> Self:
        if not self.t1.minutes < self.t2.minutes < self.t3.minutes < Timeframe.DAY1.minutes:
            raise ValueError(f"t1, t2 and t3 must be longer in turn, and none a day: {self.t1}, {self.t2}, {self.t3}")
        return self
