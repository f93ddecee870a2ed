"""Records of a running session: intents, its own state, and events worth remembering."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class SessionPhase(StrEnum):
    """How far the loop got with a session."""

    RUNNING = "running"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A durable decision to trade, written before anything is sent. UNIQUE(account, strategy, snapshot_id, symbol)."""

    intent_id: str
    account: str
    strategy: str
    session: date
    symbol: str
    snapshot_id: str
    setup_id: str
    plan_id: str
    decision_id: str
    quantity: Decimal
    reserved_risk_usd: Decimal
    created_at: datetime
    expires_at: datetime
    code_version: str
    config_hash: str
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One session of one account. `cursor_at` is the last step fully done; money in USD.

    `was_flat` tells whether it opened without positions or working orders (a replay may start there).
    `decision_hash` is set when the session is closed.
    """

    account: str
    session: date
    phase: SessionPhase
    opening_cash_usd: Decimal
    opening_equity_usd: Decimal
    was_flat: bool
    cursor_at: datetime | None
    decision_hash: str
    code_version: str
    config_hash: str
    started_at: datetime
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskEvent:
    """Something risk wants remembered: a denial, a reduction, a breach."""

    event_id: str
    account: str
    session: date
    occurred_at: datetime
    kind: str
    severity: str
    message: str
    data: dict[str, str] = field(default_factory=dict)
