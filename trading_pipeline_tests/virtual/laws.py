"""What must hold after sessions in bad weather, and the figures to tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trading_pipeline.domain.rehearsal import Verdict
from trading_pipeline_tests.virtual.weather import Trouble, Weather
from trading_pipeline_tests.virtual.world import Disturbed, Undisturbed, researched, twin_of

LEAST_SHARE_TRADED = 0.8
MOST_KB_A_SESSION = 200.0
WARM_AFTER = 0.2
"""Part of the sessions after which memory must not grow any more: caches are full by then."""
FEWEST_FOR_A_SLOPE = 20
"""Fewer sessions say nothing of memory: the first ones fill caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Two twins' sessions. calm, rough: fills of each session, undisturbed and in bad weather."""

    calm: Sequence[int]
    rough: Sequence[int]
    breaches: Sequence[str]
    verdict: Verdict
    begun: Counter[Trouble]
    met: Counter[Trouble]
    restarts: int
    why: Counter[str]
    memory_kb: Sequence[int]

    @property
    def share_traded(self) -> float:
        """Of the sessions in which the calm twin trades, those in which the other one does too."""
        both = [rough > 0 for calm, rough in zip(self.calm, self.rough, strict=True) if calm > 0]
        return sum(both) / len(both) if both else 0.0

    @property
    def kb_a_session(self) -> float:
        """Slope of the resident memory over the sessions, once caches are full; 0 for too few of them."""
        warm = self.memory_kb[int(len(self.memory_kb) * WARM_AFTER) :]
        return float(np.polyfit(range(len(warm)), warm, 1)[0]) if len(warm) >= FEWEST_FOR_A_SLOPE else 0.0

    def wrong(self, least_met: int) -> list[str]:
        """Everything that does not hold."""
        rare = [
            f"{trouble} met {self.met[trouble]} open positions" for trouble in Trouble if self.met[trouble] < least_met
        ]
        broken = [f"{check.name}: {check.measured}" for check in self.verdict.checks if not check.holds]
        few = [f"traded in {self.share_traded:.0%} of the sessions"] if self.share_traded < LEAST_SHARE_TRADED else []
        grows = [f"grows by {self.kb_a_session:.0f} KB a session"] if self.kb_a_session > MOST_KB_A_SESSION else []
        return [*self.breaches, *broken, *few, *rare, *grows]

    def holds(self, least_met: int) -> bool:
        """True when nothing is wrong."""
        return not self.wrong(least_met)

    def figures(self) -> Iterator[tuple[str, str]]:
        """For people."""
        yield "sessions", f"{len(self.calm)}, {sum(map(bool, self.calm))} with fills when undisturbed"
        yield "traded in bad weather too", f"{self.share_traded:.0%}"
        yield "fills", f"{sum(self.calm)} undisturbed, {sum(self.rough)} in bad weather"
        yield "troubles", f"{self.begun.total()}, {self.met.total()} of them met an open position"
        yield "processes started again", f"{self.restarts}: {dict(self.why.most_common(6))}"
        yield "memory", f"{self.kb_a_session:+.1f} KB a session, {max(self.memory_kb) // 1024} MB at most"
        yield (
            "breaches",
            f"{len(self.breaches)}; record against venue: {'clean' if self.verdict.is_clean else 'NOT CLEAN'}",
        )


def traded_twice(folder: Path, sessions: int, seed: int, advance: Callable[[str], None] = lambda _: None) -> Outcome:
    """Research a market, then trade its last sessions undisturbed and in bad weather."""
    days = researched(folder / "market", sessions, lambda _: advance("researched"))
    calm = Undisturbed(twin_of(folder / "market", folder / "calm")).trade(days)
    rough = Disturbed(twin_of(folder / "market", folder / "rough"), Weather(seed))
    fills = rough.trade(days, lambda _: advance("traded in bad weather"))
    return Outcome(
        calm=calm, rough=fills, breaches=rough.breaches, verdict=rough.judged(days), begun=rough.weather.begun,
        met=rough.weather.met, restarts=sum(rough.starts.values()) - len(days), why=rough.why,
        memory_kb=rough.memory_kb,
    )  # fmt: skip
