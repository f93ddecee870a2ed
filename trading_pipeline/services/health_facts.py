"""What health is judged by: one consistent reading of the record, and what a machine can tell of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.control import AlertLevel, Lease
from trading_pipeline.domain.fold import open_risk_usd
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.domain.processes import ProcessState
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.alerting.standing import AlertStanding
from trading_pipeline.services.audit.standing import AuditStanding
from trading_pipeline.services.breaker import ControlView
from trading_pipeline.services.lease import lease_name
from trading_pipeline.services.modes.transitions import present_mode

HOUR = timedelta(hours=1)
LOUD = frozenset({AlertLevel.ERROR, AlertLevel.CRITICAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The record at one instant. `session` is the calendar's running or next one; ages are of the newest research.

    record: of that session, None when nobody began it. unsent_since: when the oldest waiting order was written.
    is_above_simulation: by the account's mode there is more than play money.
    """

    lease: Lease | None
    record: SessionRecord | None
    blocks: Sequence[str]
    positions: int
    open_risk_usd: Decimal
    equity_usd: Decimal | None
    reconciled_at: datetime | None
    in_doubt: int
    unsent: int
    unsent_since: datetime | None
    screened_at: datetime | None
    regime_score: float | None
    watchlist_at: datetime | None
    alarms: int
    queues: dict[str, int]
    is_above_simulation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How the recording of the running session's bars stands, as the recorder last wrote it down."""

    at: datetime
    is_connected: bool
    is_stale: bool
    closed_until: datetime | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is not on record. None: nobody can tell.

    bars_until: end of the newest stored bar of the session. logged_errors: lines in the log within the last hour.
    processes: of `up`; empty when it does not run. clock_skew_seconds: the broker's clock less ours. control: what may
    leave, by record and latch file. audit: how the audit log stands, which is late after that many seconds. alerts: how
    delivery of alerts stands.
    """

    disk_free_bytes: int | None = None
    bars_until: datetime | None = None
    bar_minutes: int = 0
    stream: Stream | None = None
    logged_errors: int | None = None
    processes: Sequence[ProcessState] = ()
    clock_skew_seconds: float | None = None
    control: ControlView | None = None
    audit: AuditStanding | None = None
    audit_overdue_seconds: float = 300.0
    alerts: AlertStanding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything one judgement is made of. facts None: the database does not answer, for the reason in `trouble`."""

    now: datetime
    times: SessionTimes
    facts: Facts | None
    around: Surroundings
    trouble: str = ""

    @property
    def in_session(self) -> bool:
        """True from the open to the close of the session."""
        return self.times.opens_at <= self.now < self.times.closes_at

    @property
    def is_in_use(self) -> bool:
        """True when somebody trades the running session, or `up` runs: then nothing may stand still."""
        record = self.facts.record if self.facts else None
        is_traded = self.in_session and record is not None and record.phase is SessionPhase.RUNNING
        return is_traded or bool(self.around.processes)

    def age(self, instant: datetime) -> float:
        """Seconds since the instant."""
        return (self.now - instant).total_seconds()


def read_facts(ledger: Ledger, account: str, session: date, now: datetime) -> Facts:
    """Read it all in one transaction; raises LedgerError."""
    with ledger.read() as tx:
        records = tx.session_records(account)
        newest = sorted({session, *(one.session for one in records[-1:])})
        return Facts(
            lease=tx.lease(lease_name(account)), record=tx.session_record(account, session),
            alarms=_alarms(tx, account, newest, now),
            is_above_simulation=present_mode(tx, account).mode is not Mode.SIMULATION,
            blocks=[f"{one.symbol or account} ({one.kind.value})" for one in tx.blocks(account)],
            **_money(tx, account, records), **_orders(tx, account), **_research(tx, newest, now),
        )  # fmt: skip


def _money(tx: LedgerTransaction, account: str, records: Sequence[SessionRecord]) -> dict[str, Any]:
    positions, last = tx.positions(account), records[-1] if records else None
    points = tx.equity_points(account, last.session, last.session) if last else ()
    passed = tx.last_reconciliation(account)
    return {
        "positions": len(positions),
        "open_risk_usd": sum((open_risk_usd(one) for one in positions), ZERO),
        "equity_usd": points[-1].equity_usd if points else last.opening_equity_usd if last else None,
        "reconciled_at": passed.at if passed else None,
    }


def _orders(tx: LedgerTransaction, account: str) -> dict[str, Any]:
    waiting = [order for order in tx.due_orders(account) if order.status is OrdStatus.PENDING_NEW]
    doubtful = [order for order in tx.open_orders(account) if order.status is OrdStatus.IN_DOUBT]
    counts = tx.newest_numbers()
    return {
        "in_doubt": len(doubtful), "unsent": len(waiting),
        "unsent_since": min((order.created_at for order in waiting), default=None),
        "queues": {"audit": counts.get("audit_outbox", 0), "alerts": counts.get("alerts", 0), "unsent": len(waiting)},
    }  # fmt: skip


def _research(tx: LedgerTransaction, sessions: Sequence[date], now: datetime) -> dict[str, Any]:
    regimes = [one for session in sessions for one in tx.regimes(session) if one.as_of <= now]
    snapshots = [one for session in sessions for one in tx.snapshots(session) if one.as_of <= now]
    return {
        "screened_at": regimes[-1].as_of if regimes else None,
        "regime_score": regimes[-1].score if regimes else None,
        "watchlist_at": snapshots[-1].as_of if snapshots else None,
    }


def _alarms(tx: LedgerTransaction, account: str, sessions: Sequence[date], now: datetime) -> int:
    told = (alert for session in sessions for alert in tx.alerts(account, session))
    return sum(alert.level in LOUD and timedelta(0) <= now - alert.occurred_at <= HOUR for alert in told)
