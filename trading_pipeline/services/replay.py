"""Running recorded days again: trade a session that is not on record, verify one that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from trading_pipeline.domain.errors import InputError, MissingBarsError, MissingResultError, ReplayDivergence
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.care.requests import REQUESTED
from trading_pipeline.services.decision_log import decided_before
from trading_pipeline.services.desk import Provenance, regimes_of, snapshots_of
from trading_pipeline.services.rebalance import PLANNED
from trading_pipeline.services.research import is_researched
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.session_acts import carry_over, recorded_acts
from trading_pipeline.services.session_loop import Progress, SessionLoop
from trading_pipeline.services.signals import signal_snapshots
from trading_pipeline.services.unrepeatable import counted, first_of, unrepeatable

MAX_BARS_SHORT = 3
"""Base bars that may be missing at the end of a session when nobody traded in its last minutes."""


class TradingRoom(Protocol):
    """A desk with its market, ready to run sessions on an accelerated clock."""

    @property
    def ledger(self) -> Ledger:
        """The desk's record."""

    def loop(self, session: date, on_step: Progress | None = None) -> SessionLoop:
        """The loop of one session."""

    def session_of(self, instant: datetime) -> date:
        """The session an instant belongs to."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A session that was run. `verified` is True when it was on record already and decided the same again.

    `unverifiable` says why nobody can know that: what happened cannot be done again, and up to then it was the same.
    """

    record: SessionRecord
    verified: bool
    unverifiable: str = ""


def replay_session(
    room: TradingRoom,
    scratch: Callable[[Decimal], TradingRoom],
    account: str,
    session: date,
    on_step: Progress | None = None,
) -> Replayed:
    """Trade the session when it is not on record (or was interrupted); verify it when it is.

    scratch: makes a room of its own, in memory, with the given opening cash (USD).
    Raises ReplayDivergence when a recorded session decides differently now, without or before anything that cannot be
    repeated.
    """
    with room.ledger.read() as tx:
        records = tx.session_records(account)
    known = next((r for r in records if r.session == session and r.phase is SessionPhase.CLOSED), None)
    if known is None:
        return Replayed(room.loop(session, on_step).run(), verified=False)
    chain = _since_flat(records, session)
    trial = scratch(chain[0].opening_cash_usd)
    for before, record in zip([None, *chain], chain, strict=False):
        again = _run_again(room, trial, record, before, on_step if record is known else None)
        if again.decision_hash != record.decision_hash:
            return Replayed(
                known, verified=False, unverifiable=_why_different(room.ledger, trial.ledger, record, again)
            )
    return Replayed(known, verified=True)


def _run_again(
    room: TradingRoom, trial: TradingRoom, record: SessionRecord, before: SessionRecord | None, on_step: Progress | None
) -> SessionRecord:
    """Run a recorded session on what it was decided on, and with what people did in it."""
    copy_decided_research(room.ledger, trial.ledger, record)
    copy_requests(room.ledger, trial.ledger, record)
    carry_over(room.ledger, trial.ledger, record, before)
    loop = trial.loop(record.session, on_step)
    loop.acts = recorded_acts(room.ledger, record)
    return loop.run()


def require_over(desk: ResearchDesk, session: date) -> None:
    """Raise InputError when the session still runs or its stored bars stop early: a replay would close it for good.

    Raises MissingBarsError when it has no bars, MissingResultError when it was not researched.
    """
    closes_at, base = desk.calendar.times(session).closes_at, desk.bars.base_timeframe() or Timeframe.MIN1
    last, now = desk.last_bar_end(session), desk.clock.now()
    instead = f"Try it without recording: trading-pipeline session replay --dry-run --session {session}"
    if now < closes_at:
        raise InputError(
            f"session {session} is not over: it is {now:%Y-%m-%d %H:%M} UTC, and it closes at {closes_at:%H:%M}. A "
            f"replay would close its record for good. Host it live (position_monitoring_job), or wait. {instead}"
        )
    if last is None:
        raise MissingBarsError(session, [], base.value)
    if closes_at - last > MAX_BARS_SHORT * timedelta(minutes=base.minutes):
        raise InputError(
            f"the stored {base.value} bars of {session} end at {last:%H:%M} UTC, and it closes at {closes_at:%H:%M}. A "
            f"replay would close its record for good. Import the rest: trading-pipeline data import FILE --timeframe "
            f"{base.value}. {instead}"
        )
    if not is_researched(desk, session):
        raise MissingResultError(
            f"session {session} was not completely researched by this code and configuration: it would be traded "
            f"without watchlists. Run research_job for it, or trading-pipeline session replay --session {session}"
        )


def _since_flat(records: Sequence[SessionRecord], session: date) -> Sequence[SessionRecord]:
    """Recorded sessions up to `session`, from the last one that opened without positions."""
    past = [record for record in records if record.session <= session]
    start = max(index for index, record in enumerate(past) if record.was_flat)
    return past[start:]


def copy_research(source: Ledger, target: Ledger, session: date, origin: Provenance | None = None) -> None:
    """Copy a session's watchlists and regimes made under `origin` (None: any) from one ledger to another."""
    with source.read() as read, target.transaction() as write:
        snapshots = [*snapshots_of(origin, read, session), *signal_snapshots(origin, read, session)]
        _copy(read, write, regimes_of(origin, read, session), snapshots)


def copy_decided_research(source: Ledger, target: Ledger, record: SessionRecord) -> None:
    """Copy what a recorded session was decided on, whatever research was made since.

    Where nothing was decided: what the record's own code and configuration saw. A session that was finished by others
    has their regimes too, where its own has none.
    """
    session, own = record.session, Provenance(code_version=record.code_version, config_hash=record.config_hash)
    with source.read() as read, target.transaction() as write:
        decided = _decided_on(read, record)
        seen = {(one.source, one.as_of): one for one in (*snapshots_of(own, read, session), *decided)}
        others = [Provenance(code_version=one.code_version, config_hash=one.config_hash) for one in decided]
        origins = [*dict.fromkeys(others), own]
        regimes = {regime.as_of: regime for origin in origins for regime in regimes_of(origin, read, session)}
        _copy(read, write, list(regimes.values()), list(seen.values()))


def copy_requests(source: Ledger, target: Ledger, record: SessionRecord) -> None:
    """Copy what people asked for in a recorded session: it is carried out again at the same step."""
    with source.read() as read, target.transaction() as write:
        for event in read.risk_events(record.account, record.session):
            if event.kind == REQUESTED:
                write.add_risk_event(event)


def _decided_on(tx: LedgerTransaction, record: SessionRecord) -> list[ScanSnapshot]:
    """Snapshots that the session's plans, refused plans and rebalancing came from."""
    events = tx.risk_events(record.account, record.session)
    refused = [tx.setup(event.data["setup_id"]) for event in events if event.kind == "plan_refused"]
    names = {plan.snapshot_id for plan in tx.plans(record.account, record.session)}
    names |= {setup.snapshot_id for setup in refused if setup is not None}
    names |= {event.data["snapshot_id"] for event in events if event.kind == PLANNED}
    found = [tx.snapshot_by_id(name) for name in sorted(names)]
    return [snapshot for snapshot in found if snapshot is not None]


def _copy(
    read: LedgerTransaction,
    write: LedgerTransaction,
    regimes: Sequence[RegimeSnapshot],
    snapshots: Sequence[ScanSnapshot],
) -> None:
    for regime in regimes:
        write.add_regime(regime)
    for snapshot in snapshots:
        write.add_snapshot(snapshot, read.setups(snapshot.snapshot_id))


def _why_different(source: Ledger, trial: Ledger, record: SessionRecord, again: SessionRecord) -> str:
    """In words, when something happened that a replay cannot repeat; raises ReplayDivergence when nothing did, or when
    the session decided differently before it did."""
    with source.read() as tx:
        found = unrepeatable(tx, record)
    if not found:
        raise _divergence(record, again, "")
    since = first_of(found, record)
    with source.read() as recorded, trial.read() as replayed:
        logs = [decided_before(tx, record.account, record.session, since) for tx in (recorded, replayed)]
    words = f"session {record.session} had {counted(found)}"
    if logs[0] != logs[1]:
        raise _divergence(record, again, f" ({words}, the first at {since.isoformat()}; it differs before that)")
    return f"{words}: not verifiable from {since.isoformat()} on; up to then it decides the same again"


def _divergence(record: SessionRecord, again: SessionRecord, remark: str) -> ReplayDivergence:
    return ReplayDivergence(
        f"session {record.session} decides differently now{remark}: recorded {record.decision_hash[:16]}…, "
        f"replayed {again.decision_hash[:16]}…. Recorded by code {record.code_version}, configuration "
        f"{record.config_hash[:12]}; now code {again.code_version}, configuration {again.config_hash[:12]}. "
        f"Compare: trading-pipeline decisions --session {record.session}"
    )
