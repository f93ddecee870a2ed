"""How the connection to TWS stands, for people and for whoever decides whether orders may leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LinkState(StrEnum):
    """Only READY takes orders."""

    DISCONNECTED = "disconnected"
    """Lost, and about to be tried again."""
    CONNECTING = "connecting"
    REFUSED = "refused"
    """The last attempt failed; the next one waits."""
    CUT_OFF = "cut_off"
    """TWS answers, but has lost Interactive Brokers (1100)."""
    RECONCILING = "reconciling"
    """Connected; orders, executions and positions are read again."""
    READY = "ready"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """problem: why it is not READY, with what to do; remarks: unknown words and codes met, the newest last."""

    state: LinkState
    since: datetime
    library: str
    problem: str = ""
    connections: int = 0
    remarks: tuple[str, ...] = ()
