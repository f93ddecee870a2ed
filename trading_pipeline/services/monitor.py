"""Whether somebody guards the account: who leads, when the loop last gave a sign of life, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.ports import Ledger
from trading_pipeline.services.lease import lease_name


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """What the record tells of an account's session loop. Instants are of the real clock, but `last_step_at`.

    holder: host, process id and a random part; empty when nobody ever led. heartbeat_at: when the lease was last
    renewed, which happens only while the loop itself gives signs of life. session, phase, last_step_at: of the newest
    session on record, and the last step of it that is done (its own instant).
    """

    account: str
    holder: str = ""
    token: int = 0
    heartbeat_at: datetime | None = None
    heartbeat_age_seconds: float | None = None
    expires_at: datetime | None = None
    is_alive: bool = False
    session: date | None = None
    phase: SessionPhase | None = None
    last_step_at: datetime | None = None

    def words(self) -> str:
        """In a sentence, for people."""
        where = f"session {self.session} {self.phase.value}" if self.session and self.phase else "no session yet"
        done = f", done to {self.last_step_at:%Y-%m-%d %H:%M:%S} UTC" if self.last_step_at else ""
        if not self.holder:
            return f"nobody has led account {self.account} yet ({where}{done})"
        age = f"heartbeat {self.heartbeat_age_seconds:.0f} s ago"
        leads = f"{self.holder} leads account {self.account}" if self.is_alive else f"nobody leads (last {self.holder})"
        return f"{leads}, {age}; {where}{done}"


def read_monitor(ledger: Ledger, account: str, now: datetime) -> MonitorState:
    """How the account's loop stands; now: by the real clock."""
    require_aware(now)
    with ledger.read() as tx:
        lease, records = tx.lease(lease_name(account)), tx.session_records(account)
    last = records[-1] if records else None
    return MonitorState(
        account=account,
        holder=lease.holder if lease else "", token=lease.token if lease else 0,
        heartbeat_at=lease.heartbeat_at if lease else None,
        heartbeat_age_seconds=(now - lease.heartbeat_at).total_seconds() if lease else None,
        expires_at=lease.expires_at if lease else None, is_alive=lease is not None and lease.is_live(now),
        session=last.session if last else None, phase=last.phase if last else None,
        last_step_at=last.cursor_at if last else None,
    )  # fmt: skip
