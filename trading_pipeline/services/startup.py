"""Whether entries may leave yet: preconditions and controls are looked at until all are good, and what was found told.

While one is not, a block on the whole account keeps entries back; positions are cared for all the same. Block and
findings are on record at the loop's instants, so that a replay, which has nothing to look at, does the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.keeping_back import keep_back
from trading_pipeline.services.readiness import (
    BLOCKED_BY,
    SELF_TEST,
    START_UP,
    TURN,
    Check,
    Finding,
    failed,
    run_checks,
)

log = logging.getLogger(__name__)
FIRST_WAIT, MOST_WAIT = timedelta(seconds=1), timedelta(seconds=30)


@dataclass(slots=True)
class StartUp:
    """One process's way into a session. elapsed: seconds by a clock that nobody sets."""

    desk: Desk
    times: SessionTimes
    preconditions: Sequence[Check]
    controls: Sequence[Check]
    elapsed: Callable[[], float]
    is_ready: bool = False
    _told: dict[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)
    _next_at: float | None = None
    _wait: timedelta = FIRST_WAIT

    def look(self, *, is_open: bool = True) -> bool:
        """Look at everything, when it is due, and tell what changed; True once entries may leave.

        is_open: False before the open, when what can only be true later is not looked at.
        """
        if self.is_ready or not self._is_due(is_open=is_open):
            return self.is_ready
        found = {
            START_UP: run_checks(self.preconditions, is_open=is_open),
            SELF_TEST: run_checks(self.controls, is_open=is_open),
        }
        wrong = [finding for findings in found.values() for finding in failed(findings)]
        self.is_ready = is_open and not wrong
        reason = "; ".join(one.line() for one in wrong) if is_open else ""
        with self.desk.ledger.transaction() as tx:
            told = [self._tell(tx, kind, findings, reason, is_open=is_open) for kind, findings in found.items()]
            if any(told):
                keep_back(tx, self.desk.account, reason, self.desk.clock.now())
        return self.is_ready

    def _is_due(self, *, is_open: bool) -> bool:
        """At once, at the open, and then after waits that double."""
        now = self.elapsed()
        if not is_open:
            is_due = self._next_at is None
            self._next_at = now
            return is_due
        if self._next_at is not None and now < self._next_at:
            return False
        self._next_at, self._wait = now + self._wait.total_seconds(), min(2 * self._wait, MOST_WAIT)
        return True

    def _tell(
        self, tx: LedgerTransaction, kind: str, findings: Sequence[Finding], reason: str, *, is_open: bool
    ) -> bool:
        """On record and in the log, when it is the first time or something else than before."""
        outcome = (*((one.name, one.ok) for one in findings), ("", bool(reason)))
        if self._told.get(kind) == outcome:
            return False
        self._told[kind] = outcome
        for one in findings:
            log.log(logging.INFO if one.ok else logging.ERROR, "%s %s", kind, one.line())
        known = tx.risk_events(self.desk.account, self.times.session)
        number = sum(one.kind in {START_UP, SELF_TEST} for one in known)
        tx.add_risk_event(self._event(kind, findings, reason, number, is_open=is_open))
        return True

    def _event(self, kind: str, findings: Sequence[Finding], reason: str, number: int, *, is_open: bool) -> RiskEvent:
        desk, wrong, turn = self.desk, failed(findings), f"{number:06d}"
        said = "; ".join(one.line() for one in wrong)
        return RiskEvent(
            event_id=digest(kind, desk.account, self.times.session.isoformat(), turn),
            account=desk.account, session=self.times.session, occurred_at=desk.clock.now(), kind=kind,
            severity=("ERROR" if is_open or kind == SELF_TEST else "WARNING") if wrong else "INFO",
            message=f"no entry leaves until this is right: {said}" if wrong else f"all {len(findings)} good",
            data={TURN: turn, BLOCKED_BY: reason, **{one.name: one.line() for one in findings}},
        )  # fmt: skip
