"""What must be true before the first entry, as named checks: what each found, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trading_pipeline.domain.errors import LeaseLost, NotReady, StopRequested, TradingPipelineError

START_UP, SELF_TEST = "start_up", "self_test"
"""Kinds of the risk events that tell what preconditions and controls were found to be."""
CONFIGURED = "configuration_accepted"
"""Kind of the risk event by which a person lets a session go on under another configuration."""
OF_THE_HOST = frozenset({START_UP, SELF_TEST, CONFIGURED})
"""They tell how a session was hosted, which differs from process to process, and are no part of what it decided."""
BLOCKED_BY, TURN = "blocked_by", "turn"
"""In such an event: why entries are kept back from its instant on (empty: they are not), and the order of those of one
instant."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be as it should. look: returns what it saw, or raises NotReady: what is wrong, what to do.

    from_open: it can only be true from the open on, so it is not looked at before.
    """

    name: str
    look: Callable[[], str]
    from_open: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: what it saw, or what is wrong."""

    name: str
    ok: bool
    words: str

    def line(self) -> str:
        """For people and the log."""
        return f"{self.name}: {'ok' if self.ok else 'FAILED'}, {self.words}"


def look_at(check: Check) -> Finding:
    """Any failure of ours is a finding; that this process leads no more, or is to stop, ends it."""
    try:
        return Finding(check.name, True, check.look())
    except (LeaseLost, StopRequested):
        raise
    except TradingPipelineError as error:
        return Finding(check.name, False, str(error))


def run_checks(checks: Sequence[Check], *, is_open: bool) -> tuple[Finding, ...]:
    """Every check, in order; one that fails hides no other."""
    return tuple(look_at(check) for check in checks if is_open or not check.from_open)


def failed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those that found something wrong."""
    return tuple(finding for finding in findings if not finding.ok)


def require(holds: bool, wrong: str) -> None:
    """Raise NotReady with what is wrong unless it holds."""
    if not holds:
        raise NotReady(wrong)
