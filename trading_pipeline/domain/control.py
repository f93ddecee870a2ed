"""Who may act, and whether at all: leases with fencing tokens, the trading state, blocked symbols."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to lead, held by one process at a time. `token` grows with every new holder: the fencing token.

    Instants are of the real clock, whatever clock the session runs on. A lease is over at `expires_at`.
    """

    name: str
    holder: str
    token: int
    acquired_at: datetime
    heartbeat_at: datetime
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        """True until it expires."""
        return now < self.expires_at


RELAY_LEASES = frozenset({"audit", "alerts"})
"""Of whoever carries the outbox on. Their changes of hands are logged and not told there: each would make the next."""


class TradingState(StrEnum):
    """What may leave: everything, exits only, or nothing but cancels and protective stops."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    @property
    def allows_entries(self) -> bool:
        """True when exposure may grow."""
        return self is TradingState.ACTIVE

    @property
    def severity(self) -> int:
        """0 lets everything leave; the higher, the less."""
        return tuple(TradingState).index(self)


def strictest(*states: TradingState) -> TradingState:
    """The state of which the least may leave; ACTIVE of none."""
    return max(states, key=lambda state: state.severity, default=TradingState.ACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStateRecord:
    """The account's present trading state, who set it, when and why.

    flattens: by a person's word all positions are to be closed, and the venue was not seen without any since.
    """

    account: str
    state: TradingState
    reason: str
    set_by: str
    changed_at: datetime
    flattens: bool = False


class BlockKind(StrEnum):
    """Why no entry may leave in a symbol (or, without a symbol, in the account)."""

    RECONCILE_BREAK = "reconcile_break"
    IN_DOUBT = "in_doubt"
    EXTERNAL = "external"
    REPEATED_EXECUTION = "repeated_execution"
    UNANNOUNCED_SPLIT = "unannounced_split"
    RESTRICTED = "restricted"
    NOT_READY = "not_ready"
    BREAKER = "breaker"
    MODE = "mode"

    @property
    def needs_person(self) -> bool:
        """True when it never clears by itself."""
        return self in {BlockKind.REPEATED_EXECUTION, BlockKind.RESTRICTED, BlockKind.UNANNOUNCED_SPLIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Entries in `symbol` (empty: in the whole account) are blocked from `since` until cleared."""

    block_id: str
    account: str
    symbol: str
    kind: BlockKind
    reason: str
    since: datetime
    cleared_at: datetime | None = None
    cleared_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One row of the audit outbox, written in the transaction of the change it tells of."""

    occurred_at: datetime
    kind: str
    account: str
    subject: str
    actor: str
    data: dict[str, str]


class AlertLevel(StrEnum):
    """How loud."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should hear of. `alert_id` is a pure function of its cause: said once."""

    alert_id: str
    account: str
    session: date
    occurred_at: datetime
    level: AlertLevel
    kind: str
    message: str
    data: dict[str, str]
