"""How the breaker stands, by record and latch; its history; and a person's resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from trading_pipeline.domain.breaker import Cause, Trip, money_causes
from trading_pipeline.domain.breaker_rules import BreakerRules, Trigger
from trading_pipeline.domain.control import (
    AuditEntry,
    BlockKind,
    TradingState,
    TradingStateRecord,
    strictest,
)
from trading_pipeline.domain.errors import InputError, LatchError, LedgerError, TradingError
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.flattening import wanted
from trading_pipeline.services.latch import Latch, Latched, look_at
from trading_pipeline.services.levels import levels_of
from trading_pipeline.services.modes.stopping import go_on, needs_approval, require_approved
from trading_pipeline.services.modes.terms import terms_in_force
from trading_pipeline.services.trading_state import STATE_SEEN, a_word, adopt, standing_trips, tripped_by
from trading_pipeline.settings import ExecutionSettings

BEGAN, ENDED = "condition_began", "condition_ended"
"""Kinds of the risk events that tell of a condition."""
IN_HISTORY = frozenset({BEGAN, ENDED, STATE_SEEN, *(trigger.value for trigger in Trigger)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingCause:
    """One reason why not everything may leave. person: somebody's word; file: the latch file, or what is wrong with it.

    name: the trigger, or who said so. measured, limit: as they were when it began, empty where there are none.
    """

    kind: Literal["trip", "condition", "person", "file", "ledger"]
    name: str
    words: str
    since: datetime | None = None
    measured: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """The state in force and every cause of it. since: of the latch; cooldown_until: nobody resumes before, but by
    overriding it; both None when nothing is latched. flattens: positions are to be closed, and something is held or
    works, as far as the record knows, or a person's word was not seen done yet."""

    account: str
    state: TradingState
    causes: tuple[StandingCause, ...]
    since: datetime | None = None
    cooldown_until: datetime | None = None
    flattens: bool = False

    @property
    def is_latched(self) -> bool:
        """True when a person has to resume."""
        return any(cause.kind != "condition" for cause in self.causes)


def read_control(
    ledger: Ledger | Callable[[], Ledger], latch: Latch | None, account: str, rules: BreakerRules | None = None
) -> ControlView:
    """How the account stands, never more loosely than any of file, record and conditions says.

    ledger: or what opens it. One that cannot be read is a cause of its own: HALTED. Nothing is written.
    """
    latched = look_at(latch)
    try:
        with (ledger() if callable(ledger) else ledger).read() as tx:
            return _view(tx, latched, account, rules or BreakerRules())
    except LedgerError as error:
        cause = StandingCause(kind="ledger", name="ledger", words=str(error))
        causes = (*_of_file(latched, None), cause)
        return ControlView(account=account, state=TradingState.HALTED, causes=causes, flattens=_by_file(latched))


def _by_file(latched: Latched) -> bool:
    return latched.trip is not None and latched.trip.cause.flattens


def _view(tx: LedgerTransaction, latched: Latched, account: str, rules: BreakerRules) -> ControlView:
    row = tx.trading_state(account)
    if row is not None and row.state.allows_entries:
        row = None
    by_rule = tripped_by(tx, row) if row else None
    conditions = _conditions(tx, account)
    causes = (*_of_row(tx, row, by_rule), *_of_file(latched, row), *conditions)
    states = [row.state if row else TradingState.ACTIVE, latched.state]
    since, is_cooling = _latched_since(row, by_rule, latched)
    return ControlView(
        account=account, causes=causes, since=since,
        state=strictest(*states, TradingState.REDUCING if conditions else TradingState.ACTIVE),
        cooldown_until=since + rules.cooldown if since and is_cooling else None,
        flattens=_is_to_flatten(tx, latched, account),
    )  # fmt: skip


def _is_to_flatten(tx: LedgerTransaction, latched: Latched, account: str) -> bool:
    records = tx.session_records(account)
    flatten = wanted(tx, latched, account, records[-1].session if records else None)
    if flatten is None:
        return False
    return flatten.reason is ExitReason.KILL_SWITCH or bool(tx.positions(account))


def _latched_since(
    row: TradingStateRecord | None, by_rule: RiskEvent | None, latched: Latched
) -> tuple[datetime | None, bool]:
    """Since when, and whether a cooldown counts from then: after a trip or a kill, not after a pause."""
    trip = latched.trip
    if row is None and trip is None:
        return None, latched.state is TradingState.HALTED
    since = max(instant for instant in (row and row.changed_at, trip and trip.at) if instant)
    is_pause = trip is not None and trip.cause.trigger is Trigger.PAUSE
    is_halted = TradingState.HALTED in {latched.state, row.state if row else latched.state}
    return since, is_halted or by_rule is not None or (trip is not None and not is_pause)


def _of_row(
    tx: LedgerTransaction, row: TradingStateRecord | None, by_rule: RiskEvent | None
) -> Iterator[StandingCause]:
    if row is None:
        return
    if by_rule is None:
        yield StandingCause(kind="person", name=row.set_by, words=row.reason, since=row.changed_at)
    else:
        yield _of_trip(by_rule)
    records = tx.session_records(row.account)
    for event in standing_trips(tx, row.account, records[-1].session) if records else ():
        if by_rule is None or event.event_id != by_rule.event_id:
            yield _of_trip(event)


def _of_trip(event: RiskEvent) -> StandingCause:
    return StandingCause(
        kind="trip", name=event.kind, words=event.message.split(". Trading is ")[0], since=event.occurred_at,
        measured=event.data.get("measured", ""), limit=event.data.get("limit", ""),
    )  # fmt: skip


def _of_file(latched: Latched, row: TradingStateRecord | None) -> Iterator[StandingCause]:
    """The file, where it says something else than the record."""
    trip = latched.trip
    if latched.state is TradingState.ACTIVE:
        return
    if trip is None:
        yield StandingCause(kind="file", name="latch", words=latched.words)
    elif row is None or (row.set_by, row.reason) != (trip.by, trip.cause.words):
        yield StandingCause(
            kind="file", name=trip.by, words=trip.cause.words, since=trip.at, measured=trip.cause.measured,
            limit=trip.cause.limit,
        )  # fmt: skip


def _conditions(tx: LedgerTransaction, account: str) -> tuple[StandingCause, ...]:
    standing = [block for block in tx.blocks(account) if block.kind is BlockKind.BREAKER]
    return tuple(
        StandingCause(
            kind="condition", name=block.block_id.split("-")[0], words=block.reason, since=block.since
        )
        for block in standing
    )  # fmt: skip


def read_history(ledger: Ledger, account: str, *, sessions: int = 20) -> Sequence[RiskEvent]:
    """What began, ended, tripped and was seen to be set in the newest sessions, oldest first, with its values."""
    with ledger.read() as tx:
        records = tx.session_records(account)[-sessions:]
        events = [event for record in records for event in tx.risk_events(account, record.session)]
    found = (event for event in events if event.kind in IN_HISTORY)
    return sorted(found, key=lambda event: (event.occurred_at, event.event_id))


def pause_trading(
    ledger: Callable[[], Ledger], latch: Latch, account: str, *, reason: str, operator: str, at: datetime,
    session: date,
) -> tuple[ControlView, str]:  # fmt: skip
    """A person lets only exits leave: the file first, then the record. A stricter state stays.

    Returns how the account stands, and what kept it from being put on record: the file blocks all the same. Raises
    InputError without a reason or a name, and when the account is halted already; LatchError when neither took it. On a
    full disk the file is left without words, which halts.
    """
    word = a_word(account, TradingState.REDUCING, reason=reason, operator=operator, at=at)
    cause = Cause(trigger=Trigger.PAUSE, state=word.state, measured="", limit="", words=word.reason)
    if latch.look().state is TradingState.HALTED:
        raise _stricter(account)
    unwritten = latch.engage(Trip(account=account, cause=cause, by=word.set_by, at=at, session=session))
    try:
        _put_pause(ledger(), word)
    except LedgerError as error:
        if unwritten and not latch.file_blocks():
            raise LatchError(f"not paused: {unwritten}; {error}") from error
        latched = look_at(latch)
        causes = tuple(_of_file(latched, None))
        return ControlView(account=account, state=latched.state, causes=causes, since=at), str(error)
    return read_control(ledger(), latch, account), ""


def _put_pause(ledger: Ledger, word: TradingStateRecord) -> None:
    with ledger.transaction() as tx:
        row = tx.trading_state(word.account)
        if row is not None and row.state.severity > word.state.severity:
            raise _stricter(word.account)
        if row is None or row.state.allows_entries:
            tx.set_trading_state(word)


def _stricter(account: str) -> InputError:
    return InputError(
        f"account {account} is HALTED, which is stricter than REDUCING: it stays so. Loosen it with trading-pipeline "
        "resume --reason TEXT --operator NAME"
    )


def resume(
    ledger: Ledger, latch: Latch | None, rules: ExecutionSettings, *, reason: str, operator: str, at: datetime,
    override_cooldown: bool = False,
) -> ControlView:  # fmt: skip
    """A person lets entries leave again; what a condition holds back stays so until it lifts by itself.

    What was halted above SIMULATION needs people's approval first (services/modes/stopping.py). The file goes first:
    until the record is committed, it still blocks. Whoever stops trading meanwhile is heard: the record is held while
    it is looked at again, and a stop that comes later is written after this word. Raises InputError without a reason
    or a name, TradingError that says what is in the way, LatchError, LedgerError.
    """
    word = a_word(rules.account, TradingState.ACTIVE, reason=reason, operator=operator, at=at)
    view = require_resumable(ledger, latch, rules, at=at, override_cooldown=override_cooldown)
    if view.state is TradingState.HALTED:
        with ledger.read() as tx:
            require_approved(tx, rules.account)
    with ledger.transaction() as tx:
        _require_as_seen(view, _view(tx, look_at(latch), rules.account, rules.breaker))
        tx.set_trading_state(word)
        go_on(tx, rules.account, at=at, reason=word.reason, actor=word.set_by)
        tx.add_audit(_resumed(view, word, override_cooldown=override_cooldown))
        if latch is not None:
            latch.release()
    return read_control(ledger, latch, rules.account, rules.breaker)


def _require_as_seen(seen: ControlView, now: ControlView) -> None:
    """Raises TradingError when somebody or a rule has stopped trading since it was looked at."""
    new = [one for one in now.causes if one.kind != "condition" and one not in seen.causes]
    if new:
        raise TradingError(
            f"not resumed: trading was stopped again meanwhile, by {new[0].name} ({new[0].words}). See: "
            "trading-pipeline breaker show"
        )


def require_resumable(
    ledger: Ledger, latch: Latch | None, rules: ExecutionSettings, *, at: datetime, override_cooldown: bool = False
) -> ControlView:
    """How the account stands, when it may be resumed but for people's approval. Raises TradingError otherwise."""
    latched = look_at(latch)
    if latched.trip is not None and latched.state is TradingState.HALTED:
        adopt(ledger, latched.trip)
    with ledger.read() as tx:
        view = _view(tx, latched, rules.account, rules.breaker)
        _require_resumable(tx, view, latched, rules, at, override_cooldown=override_cooldown)
    return view


def _require_resumable(
    tx: LedgerTransaction, view: ControlView, latched: Latched, rules: ExecutionSettings, at: datetime, *,
    override_cooldown: bool,
) -> None:  # fmt: skip
    if latched.trip is None and latched.state is TradingState.HALTED:
        raise TradingError(latched.words)
    if not view.is_latched:
        names = ", ".join(cause.name for cause in view.causes)
        lasting = f": {names} lifts by itself, {rules.breaker.clean_seconds} s after its cause is gone" if names else ""
        raise TradingError(f"account {view.account} is not halted by anybody{lasting}. Nothing to resume")
    in_the_way = [*_still_holding(tx, rules, at), *_differences(tx, rules.account)]
    if in_the_way:
        raise TradingError(f"not resumed: {'; '.join(in_the_way)}")
    if view.cooldown_until is not None and at < view.cooldown_until and not override_cooldown:
        left = view.cooldown_until - at
        is_approved = view.state is TradingState.HALTED and needs_approval(tx, rules.account)
        way = "" if is_approved else ". Sooner, with a reason that says why: --override-cooldown"
        raise TradingError(
            f"not resumed: the cooldown ends at {view.cooldown_until:%Y-%m-%d %H:%M:%S} UTC, in {_minutes(left)}{way}"
        )


def _minutes(span: timedelta) -> str:
    return f"{-(-span // timedelta(minutes=1))} min"


def _still_holding(tx: LedgerTransaction, rules: ExecutionSettings, at: datetime) -> Iterator[str]:
    """Losses of a session that still runs: it would trip again at once."""
    records = tx.session_records(rules.account)
    if not records or records[-1].phase is SessionPhase.CLOSED or at - records[-1].started_at >= timedelta(days=1):
        return
    levels, terms = levels_of(tx, records[-1]), terms_in_force(tx, rules.account, records[-1].session)
    risk = terms.limits(rules.risk, rules.mode_watch)
    for cause in money_causes(levels, risk, terms.breaker(rules.breaker, rules.mode_watch)):
        if cause.state is TradingState.HALTED:
            yield f"{cause.trigger.value} still holds: {cause.words}. It ends with session {records[-1].session}"


def _differences(tx: LedgerTransaction, account: str) -> Iterator[str]:
    passed = tx.last_reconciliation(account)
    found = passed.differing if passed else ()
    if found:
        words = "; ".join(one.words for one in found[:3])
        yield (
            f"record and venue differ in {len(found)} point(s): {words}. Look closer, and adjust the record if the "
            "venue is right: trading-pipeline reconcile"
        )


def _resumed(view: ControlView, word: TradingStateRecord, *, override_cooldown: bool) -> AuditEntry:
    return AuditEntry(
        occurred_at=word.changed_at, kind="breaker_resumed", account=word.account, subject=word.account,
        actor=word.set_by,
        data={
            "reason": word.reason, "from": view.state.value, "causes": "; ".join(one.words for one in view.causes),
            "override_cooldown": "yes" if override_cooldown else "no",
        },
    )  # fmt: skip
