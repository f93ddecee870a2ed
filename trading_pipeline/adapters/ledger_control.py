"""The ledger's section of leases, trading states, blocks, and what others are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, func, or_, select, update

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_outbox import alert_entry, cleared_entry, lease_entry, state_entry
from trading_pipeline.adapters.ledger_records import insert_new, insert_or_verify
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.adapters.ledger_wire import Wire
from trading_pipeline.domain.breaker import SessionPeak
from trading_pipeline.domain.control import RELAY_LEASES, Alert, AuditEntry, Block, Lease, TradingStateRecord
from trading_pipeline.domain.errors import LeaseLost

LEASES = kinds.LEASES.table
BLOCKS = kinds.BLOCKS.table.c

# Made once: building a statement costs more than sending it.
IN_FORCE = (
    kinds.BLOCKS.select()
    .where(BLOCKS.account == bindparam("account"), BLOCKS.cleared_at.is_(None))
    .order_by(BLOCKS.since, BLOCKS.record_no)
)
TOLD = ("alerts", "audit_outbox")
NEWEST = select(*(select(func.max(kind.table.c.record_no)).scalar_subquery() for kind in (kinds.ALERTS, kinds.AUDIT)))
HELD = (
    select(LEASES.c.expires_at)
    .where(
        LEASES.c.name == bindparam("of_name"),
        LEASES.c.holder == bindparam("by_holder"),
        LEASES.c.token == bindparam("with_token"),
    )
    .with_for_update(read=True)
)
IN_FORCE_FOR = IN_FORCE.where(or_(BLOCKS.symbol == bindparam("symbol"), BLOCKS.symbol == ""))


class LeaseRows(Rows):
    """Who leads: one row per lease, changed by compare-and-set only."""

    def lease(self, name: str) -> Lease | None:
        """The lease as last held, live or expired; None when nobody ever held it."""
        return self._one(kinds.LEASES, name)

    def take_lease(self, name: str, holder: str, now: datetime, seconds: int) -> Lease | None:
        """The lease when it was free, expired or the holder's own, else None. Others who try meanwhile wait."""
        self._require_writable()
        held = self._lease_locked(name)
        if held is not None and held.is_live(now):
            return self.renew_lease(held, now, seconds) if held.holder == holder else None
        taken = Lease(
            name=name, holder=holder, token=held.token + 1 if held else 1,
            acquired_at=now, heartbeat_at=now, expires_at=now + timedelta(seconds=seconds),
        )  # fmt: skip
        if not self._replace_lease(held, taken):
            return None
        if name not in RELAY_LEASES:
            self._outbox.add(lease_entry("lease_taken", taken, now))
        return taken

    def renew_lease(self, lease: Lease, now: datetime, seconds: int) -> Lease | None:
        """The prolonged lease; None when it has expired or somebody took it over."""
        renewed = replace(lease, heartbeat_at=now, expires_at=now + timedelta(seconds=seconds))
        times = {"heartbeat_at": renewed.heartbeat_at, "expires_at": renewed.expires_at}
        return renewed if self._change_lease(lease, now, **times) else None

    def release_lease(self, lease: Lease, now: datetime) -> None:
        """End it now; another holder's lease stays as it is."""
        if self._change_lease(lease, now, expires_at=now) and lease.name not in RELAY_LEASES:
            self._outbox.add(lease_entry("lease_released", lease, now))

    def _lease_locked(self, name: str) -> Lease | None:
        query = kinds.LEASES.select().where(LEASES.c.name == name).with_for_update()
        found = kinds.LEASES.records(self._connection, query)
        return found[0] if found else None

    def _replace_lease(self, held: Lease | None, taken: Lease) -> bool:
        if held is None:  # of two that are first at once, one inserts
            return kinds.insert_new(self._wire, kinds.LEASES, taken)
        unchanged = (LEASES.c.name == held.name, LEASES.c.token == held.token)
        change = update(LEASES).where(*unchanged).values(kinds.LEASES.values(taken))
        return self._connection.execute(change).rowcount == 1

    def _change_lease(self, lease: Lease, now: datetime, **times: datetime) -> bool:
        self._require_writable()
        change = update(LEASES).where(*_is_holder(lease), LEASES.c.expires_at > now).values(times)
        return self._connection.execute(change).rowcount == 1


class ControlRows(Rows):
    """Whether the account may act at all, and where it may not."""

    def trading_state(self, account: str) -> TradingStateRecord | None:
        """None: never set, which means ACTIVE."""
        return self._one(kinds.STATES, account)

    def set_trading_state(self, record: TradingStateRecord) -> None:
        before = self.trading_state(record.account)
        if before != record:
            self._put(kinds.STATES, record)
            self._outbox.add(state_entry(before, record))

    def session_peak(self, account: str, session: date) -> SessionPeak | None:
        """None: it never rose above the opening."""
        found = self._between(kinds.PEAKS, account, session, session, order=())
        return found[0] if found else None

    def save_session_peak(self, peak: SessionPeak) -> None:
        self._put(kinds.PEAKS, peak)

    def add_block(self, block: Block) -> bool:
        """True when the block is new; one that was cleared stays cleared: block again under another id."""
        return self._add(kinds.BLOCKS, block)

    def blocks(self, account: str, *, symbol: str | None = None) -> Sequence[Block]:
        """Blocks in force, oldest first; with a symbol also those of the whole account."""
        if symbol is None:
            return kinds.BLOCKS.found(self._wire, IN_FORCE, {"account": account})
        return kinds.BLOCKS.found(self._wire, IN_FORCE_FOR, {"account": account, "symbol": symbol})

    def clear_block(self, block_id: str, at: datetime, by: str) -> bool:
        """True when it was in force and is not any more."""
        self._require_writable()
        columns = kinds.BLOCKS.table.c
        in_force = (columns.block_id == block_id, columns.cleared_at.is_(None))
        cleared = update(kinds.BLOCKS.table).where(*in_force).values(cleared_at=at, cleared_by=by)
        if self._connection.execute(cleared).rowcount != 1:
            return False
        block = self._one(kinds.BLOCKS, block_id)
        assert block is not None
        self._outbox.add(cleared_entry(block, at, by))
        return True


class OutboxRows(Rows):
    """What others are told later: read in the order it was written."""

    def add_audit(self, entry: AuditEntry) -> None:
        self._require_writable()
        self._outbox.add(entry)

    def audit_entries(self, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, AuditEntry]]:
        """Entries with their number, ascending, numbers above `after`."""
        self.flush()
        number = kinds.AUDIT.table.c.record_no
        wanted = kinds.AUDIT.select().add_columns(number).where(number > after).order_by(number).limit(limit)
        rows = self._connection.execute(wanted)
        return [(row[-1], AuditEntry(**dict(zip(kinds.AUDIT.names, row[:-1], strict=True)))) for row in rows]

    def newest_numbers(self) -> dict[str, int]:
        """Number of the newest row of what is told to others later; 0 where there is none."""
        self.flush()
        return {name: number or 0 for name, number in zip(TOLD, self._connection.execute(NEWEST).one(), strict=True)}

    def add_alert(self, alert: Alert) -> bool:
        self.flush()
        self._require_writable()
        return self._told(alert, is_new=insert_or_verify(self._wire, kinds.ALERTS, alert))

    def raise_alert(self, alert: Alert) -> bool:
        self.flush()
        self._require_writable()
        return self._told(alert, is_new=insert_new(self._wire, kinds.ALERTS, alert))

    def _told(self, alert: Alert, *, is_new: bool) -> bool:
        if is_new:
            self._outbox.add(alert_entry(alert))
        return is_new

    def alerts(self, account: str, session: date | None = None) -> Sequence[Alert]:
        """In the order they were raised."""
        self.flush()
        return self._between(kinds.ALERTS, account, session, session, order=(kinds.ALERTS.table.c.record_no,))


def require_held(wire: Wire, lease: Lease, now: datetime) -> None:
    """Raise LeaseLost unless the lease is held, in the database, and stays so until this transaction ends.

    On PostgreSQL the row is locked against a change of holder; on SQLite the transaction already excludes writers.
    """
    held = wire.rows(HELD, {"of_name": lease.name, "by_holder": lease.holder, "with_token": lease.token})
    expires_at = held[0][0] if held else None
    if expires_at is None or now >= expires_at:
        reason = "was taken over" if expires_at is None else f"expired at {expires_at:%H:%M:%S} UTC"
        raise LeaseLost(
            f"the lease {lease.name} that {lease.holder} holds with token {lease.token} {reason}: nothing was written. "
            "This process may no longer act: it ends, and whoever leads now goes on from the record."
        )


def _is_holder(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return LEASES.c.name == lease.name, LEASES.c.holder == lease.holder, LEASES.c.token == lease.token
