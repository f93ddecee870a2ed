"""The mode while a session runs: what holds now is noted at the loop's instant, and what a fall in mode outdates ends.

The loop lowers mode and risk by itself and never raises them; what would raise them is written down for people. Every
step may be repeated after a crash, and a recorded session that is run again notes nothing: it repeats the notes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.audit import MODE_CHANGED
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.mode_terms import ONE, Record, Terms, allows_less, risk_left, why_lower
from trading_pipeline.domain.modes import ChangeKind, ModeChange, ModeState, one_below
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, OrdStatus
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.domain.trading_session import RiskEvent, SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import ask_cancel
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.levels import levels_of
from trading_pipeline.services.local_reports import end_all_locally
from trading_pipeline.services.modes.standing import ASK, bars, last_approved
from trading_pipeline.services.modes.terms import TERMS_SEEN, newest_note, note_id
from trading_pipeline.services.modes.transitions import change_mode, present_mode

log = logging.getLogger(__name__)
BY = "mode_watch"
SUGGESTED = "risk_suggestion"
"""Kind of the risk event that tells people that a higher risk may be asked for."""
WITHDRAWS = "withdraws"


@dataclass(slots=True)
class TermsWatch:
    """One session's eye on the account's mode."""

    desk: Desk
    is_repeated: bool = False
    _peak: tuple[str, Decimal] | None = None

    def note(self, record: SessionRecord) -> None:
        """Lower what has to be lowered, note what holds now, and withdraw entries that a fall has outdated."""
        if self.is_repeated or self._note(record):
            self._withdraw(record)

    def _note(self, record: SessionRecord) -> bool:
        """False for an account of which nobody ever said anything: there is nothing to look at."""
        with self.desk.ledger.read() as tx:
            state = present_mode(tx, self.desk.account)
            noted = newest_note(tx, self.desk.account, record.session)
            if state.entered_at is None and noted is None and self.desk.rules.mode == "simulation":
                return False
            done = self._done(tx, record, state)
            why = why_lower(done, state.rung, self.desk.rules.mode_watch)
        if why:
            state = self._lower(record, state, why)
            done = Record()
        with self.desk.ledger.read() as tx:
            before = Terms.of(noted.data) if noted else Terms()
            after = self._terms(tx, state, done, before if noted else self._of_earlier(tx, record))
        if after != before:
            self._put(record, noted, before, after)
        self._suggest(record, state, done, after)
        return True

    def _terms(self, tx: LedgerTransaction, state: ModeState, done: Record, before: Terms) -> Terms:
        approved, rules = last_approved(tx, self.desk.account), self.desk.modes
        approved_by, risk = approved.change_id if approved else "", risk_left(done, self.desk.rules.mode_watch)
        is_watched = False
        if state.rung.is_live and approved is not None:
            is_watched = self.desk.clock.now() < approved.at + timedelta(hours=rules.watch_hours)
        barred = bars(
            tx, self.desk.account, configured=self.desk.rules.mode, limits=self.desk.rules.risk,
            config_hash=self.desk.approval_hash or self.desk.provenance.config_hash, rules=rules,
        )  # fmt: skip
        return Terms(
            rung=state.rung, first_fraction=self._first(tx, state),
            risk_fraction=min(risk, before.risk_fraction) if before.approved_by == approved_by else risk,
            is_watched=is_watched, barred_by="; ".join(barred), approved_by=approved_by,
        )  # fmt: skip

    def _first(self, tx: LedgerTransaction, state: ModeState) -> Decimal:
        """Part of the size for the first trades after a rise to a live mode."""
        rise = _last_rise(tx, state)
        if rise is None:
            return ONE
        closed = whole_trades(tx.trades(state.account, rise.at.date()))
        count = sum(trade.exit_at >= rise.at for trade in closed)
        return self.desk.modes.first_trades_size_fraction if count < self.desk.modes.first_trades else ONE

    def _of_earlier(self, tx: LedgerTransaction, record: SessionRecord) -> Terms:
        """The last note of an earlier session: what was lowered stays so over night."""
        for one in reversed(tx.session_records(record.account)):
            if one.session < record.session and (noted := newest_note(tx, record.account, one.session)) is not None:
                return Terms.of(noted.data)
        return Terms()

    # what the mode has seen

    def _done(self, tx: LedgerTransaction, record: SessionRecord, state: ModeState) -> Record:
        """The account's record since the mode was entered; of nothing in SIMULATION, which cannot be lowered."""
        if state.mode is Mode.SIMULATION or state.entered_at is None:
            return Record()
        levels, entered_at = levels_of(tx, record), state.entered_at
        peak = max(self._peak_before(tx, record, state), levels.peak_usd, levels.equity_usd)
        trades = [
            one for one in whole_trades(tx.trades(record.account, entered_at.date())) if one.exit_at >= entered_at
        ]
        held = sum((p.quantity * (p.mark or p.avg_px) for p in tx.positions(record.account)), ZERO)
        return Record(
            results_usd=tuple(one.net_usd for one in sorted(trades, key=lambda one: (one.exit_at, one.trade_id))),
            drawdown=(peak - levels.equity_usd) / peak if peak > 0 else ZERO,
            exposure_fraction=held / levels.equity_usd if levels.equity_usd > 0 else ZERO,
            correlations=sum(_is_of_correlation(block) for block in tx.blocks(record.account)),
        )  # fmt: skip

    def _peak_before(self, tx: LedgerTransaction, record: SessionRecord, state: ModeState) -> Decimal:
        """The highest opening equity of the mode's sessions, less what was paid out and with what was paid in since."""
        if self._peak is None or self._peak[0] != state.change_id:
            flows, highest = ZERO, ZERO
            entered_on = state.entered_at.date() if state.entered_at else record.session
            past = [one for one in tx.session_records(record.account) if entered_on <= one.session < record.session]
            for one in reversed(past):
                activities = tx.cash_activities(record.account, session=one.session)
                flows += sum((each.amount_usd for each in activities if each.kind.is_flow), ZERO)
                highest = max(highest, one.opening_equity_usd + flows)
            self._peak = state.change_id, highest
        return self._peak[1]

    # what follows

    def _lower(self, record: SessionRecord, state: ModeState, why: str) -> ModeState:
        now, below = self.desk.clock.now(), one_below(state.rung)
        with self.desk.ledger.transaction() as tx:
            lowered = change_mode(tx, record.account, ChangeKind.LOWER, below, at=now, reason=why, actor=BY)
            tx.add_risk_event(
                RiskEvent(
                    event_id=f"{MODE_CHANGED}-{lowered.change_id}", account=record.account, session=record.session,
                    occurred_at=now, kind=MODE_CHANGED, severity="ERROR",
                    message=f"the mode was lowered from {state.rung} to {below}: {why}",
                    data={"from": str(state.rung), "to": str(below), "reason": why},
                )
            )  # fmt: skip
        return lowered

    def _put(self, record: SessionRecord, noted: RiskEvent | None, before: Terms, after: Terms) -> None:
        now, number = self.desk.clock.now(), int(noted.data["number"]) + 1 if noted else 0
        is_less = allows_less(before, after)
        limits = after.limits(self.desk.rules.risk, self.desk.rules.mode_watch)
        event = RiskEvent(
            event_id=note_id(record.account, record.session, number), account=record.account, session=record.session,
            occurred_at=now, kind=TERMS_SEEN, severity="INFO", message=after.words(),
            data={
                **after.data, "number": str(number), WITHDRAWS: "yes" if is_less else "no",
                "max_trade_risk_fraction": str(limits.max_trade_risk_fraction),
                "max_total_exposure_fraction": str(limits.max_total_exposure_fraction),
                "daily_loss_fraction": str(limits.daily_loss_fraction),
                "max_open_positions": str(limits.max_open_positions),
            },
        )  # fmt: skip
        log.info("the session trades on these terms: %s", after.words())
        with self.desk.ledger.transaction() as tx:
            take_terms(tx, event)

    def _withdraw(self, record: SessionRecord) -> None:
        """No entry decided on under wider terms stays: what has not left never does, what works is canceled."""
        with self.desk.ledger.read() as tx:
            noted = newest_note(tx, record.account, record.session)
            if noted is None or noted.data[WITHDRAWS] != "yes":
                return
            entries = [
                one for one in tx.open_orders(record.account)
                if grows_exposure(one) and one.parent_id is None and one.created_at < noted.occurred_at
            ]  # fmt: skip
        unsent = [one for one in entries if one.status is OrdStatus.PENDING_NEW and one.submitted_at is None]
        if unsent:
            end_all_locally(
                self.desk, unsent, ExecType.CANCELED, "not sent: the mode was lowered", self.desk.clock.now()
            )
        for order in entries:
            if order.status in SETTLED:
                ask_cancel(self.desk, order)

    def _suggest(self, record: SessionRecord, state: ModeState, done: Record, terms: Terms) -> None:
        """Once a session, when what lowered the risk is over: people may raise it, nobody else does."""
        is_over = terms.risk_fraction < 1 and risk_left(done, self.desk.rules.mode_watch) == 1
        event_id = f"{SUGGESTED}-{record.account}-{record.session}"
        with self.desk.ledger.read() as tx:
            if not is_over or tx.risk_event(event_id) is not None:
                return
        with self.desk.ledger.transaction() as tx:
            tx.add_risk_event(
                RiskEvent(
                    event_id=event_id, account=record.account, session=record.session,
                    occurred_at=self.desk.clock.now(), kind=SUGGESTED, severity="INFO",
                    message=f"what lowered the risk per trade in {state.rung} is over: it stays at "
                    f"{terms.risk_fraction * 100:f} % until people approve the mode again: {ASK}",
                    data={"risk_fraction": str(terms.risk_fraction), "suggested": "1"},
                )
            )  # fmt: skip


def take_terms(tx: LedgerTransaction, event: RiskEvent) -> None:
    """Put a note on record, and its block in force or out of it; doing it again changes nothing.

    What else the mode has told of in a recorded session is put on record as it is.
    """
    if tx.risk_event(event.event_id) is not None:
        return
    tx.add_risk_event(event)
    if event.kind != TERMS_SEEN:
        return
    for block in tx.blocks(event.account):
        if block.kind is BlockKind.MODE:
            tx.clear_block(block.block_id, event.occurred_at, BY)
    if event.data["barred_by"]:
        tx.add_block(
            Block(
                block_id=event.event_id, account=event.account, symbol="", kind=BlockKind.MODE,
                reason=event.data["barred_by"], since=event.occurred_at,
            )
        )  # fmt: skip


def _last_rise(tx: LedgerTransaction, state: ModeState) -> ModeChange | None:
    """The rise that led to the live mode the account is in; None where it came from above, or is not live."""
    if not state.rung.is_live:
        return None
    entered = [
        one for one in tx.mode_changes(state.account) if one.mode is state.mode and one.from_mode is not state.mode
    ]
    last = entered[-1] if entered else None
    return last if last is not None and last.kind is ChangeKind.RAISE else None


def _is_of_correlation(block: Block) -> bool:
    """True for the block of the breaker's condition of that name."""
    return block.kind is BlockKind.BREAKER and block.block_id.startswith(f"{Trigger.CORRELATION.value}-")
