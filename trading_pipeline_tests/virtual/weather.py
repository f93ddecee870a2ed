"""What goes wrong, and when: one trouble of a shuffled deck every thirty simulated minutes, by a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript

EVERY = timedelta(minutes=30)


class Trouble(StrEnum):
    """One thing that goes wrong."""

    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    GATEWAY_TIMEOUT = "gateway_timeout"
    SERVER_ERRORS = "server_errors"
    VENUE_DOWN = "venue_down"
    REFUSED = "refused"
    REPORTS_TWICE = "reports_twice"
    REPORTS_SHUFFLED = "reports_shuffled"
    REPORTS_MISSING = "reports_missing"
    KILLED = "killed"
    LEDGER_LOCKED = "ledger_locked"
    DISK_FULL = "disk_full"
    NO_QUOTES = "no_quotes"
    TENFOLD_QUOTES = "tenfold_quotes"
    CLOCK_BACK = "clock_back"
    PAUSED = "paused"
    HALTED = "halted"
    LATCH_GARBLED = "latch_garbled"


CHANGES = ("submit", "cancel", "replace")
AT_THE_VENUE: dict[Trouble, tuple[FaultRule, ...]] = {
    Trouble.LOST_REQUEST: tuple(FaultRule(fault=Fault.DROP_REQUEST, op=op, times=2) for op in CHANGES),
    Trouble.LOST_ANSWER: tuple(FaultRule(fault=Fault.DROP_REPLY, op=op, times=2) for op in CHANGES),
    Trouble.GATEWAY_TIMEOUT: (FaultRule(fault=Fault.HTTP_504, op="*", times=3),),
    Trouble.SERVER_ERRORS: (FaultRule(fault=Fault.HTTP_500, op="*", times=4, probability=0.5),),
    Trouble.VENUE_DOWN: (FaultRule(fault=Fault.RESET, op="*", times=25),),
    Trouble.REFUSED: (FaultRule(fault=Fault.REJECT, op="submit", times=2),),
    Trouble.REPORTS_TWICE: (FaultRule(fault=Fault.DUPLICATE, op="execution_reports", times=12),),
    Trouble.REPORTS_SHUFFLED: (FaultRule(fault=Fault.REORDER, op="execution_reports", times=12),),
    Trouble.REPORTS_MISSING: (FaultRule(fault=Fault.STALL, op="execution_reports", times=2),),
}
BY_PEOPLE = frozenset({Trouble.PAUSED, Trouble.HALTED, Trouble.LATCH_GARBLED})


@dataclass
class Weather:
    """Draws a trouble each half hour of the session and says what it does to each part, until it has passed.

    begun: how often each came; met: how often it came while shares were held.
    """

    seed: int
    is_holding: Callable[[], bool] = lambda: False
    on_people: Callable[[Trouble, datetime], None] = lambda _, __: None
    begun: Counter[Trouble] = field(default_factory=Counter)
    met: Counter[Trouble] = field(default_factory=Counter)
    faults: Faults = field(default_factory=Faults)
    touches_to_live: int = 0
    """Broker calls and commits until the process is killed; 0: it is not."""
    failing: dict[Trouble, int] = field(default_factory=dict)
    """How many more uses of ledger, quotes or clock fail, by trouble."""
    _next_at: datetime | None = None
    _deck: list[Trouble] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def pass_to(self, instant: datetime, opens_at: datetime) -> None:
        """The simulated clock moves to an instant of the session: what is due begins."""
        if self._next_at is None or self._next_at < opens_at:
            self._next_at = opens_at + timedelta(minutes=self._random.randrange(5, 35))
        while self._next_at <= instant:
            self._begin(self._draw(), self._next_at)
            self._next_at += EVERY

    def spend(self, trouble: Trouble) -> bool:
        """True when this use fails."""
        left = self.failing.get(trouble, 0)
        self.failing[trouble] = max(left - 1, 0)
        return left > 0

    def _draw(self) -> Trouble:
        if not self._deck:
            self._deck = list(Trouble)
            self._random.shuffle(self._deck)
        return self._deck.pop()

    def _begin(self, trouble: Trouble, at: datetime) -> None:
        self.begun[trouble] += 1
        self.met[trouble] += self.is_holding()
        if trouble in AT_THE_VENUE:
            self.faults.load(FaultScript(rules=AT_THE_VENUE[trouble], seed=self._random.randrange(2**32)))
        elif trouble is Trouble.KILLED:
            self.touches_to_live = self._random.randrange(1, 40)
        elif trouble in BY_PEOPLE:
            self.on_people(trouble, at)
        else:
            self.failing[trouble] = self._random.randrange(1, 6)
