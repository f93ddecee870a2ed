"""Deciding on a watchlist: plan, risk decision and durable intent for each selected setup, in one transaction."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from trading_pipeline.domain import alert_causes
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.correlation import working_on
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.orders import Leg, Order, OrderType, Side, TimeInForce, client_order_id
from trading_pipeline.domain.planning import PlanRefusal, plan_trade
from trading_pipeline.domain.risk import Code, Exposure, RiskBook, RiskDecision, decide
from trading_pipeline.domain.setups import ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent
from trading_pipeline.ports import Decidable, LedgerTransaction
from trading_pipeline.services.book import REARMED, read_book, with_facts, with_value_at_risk
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.modes.terms import under

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """How many setups of a snapshot were planned, approved, and already decided before."""

    planned: int = 0
    approved: int = 0
    refused: int = 0
    skipped: int = 0


def decide_on_snapshot(desk: Desk, snapshot: ScanSnapshot, times: SessionTimes, quotes: dict[str, Quote]) -> Decided:
    """Decide on every selected setup by rank; all rows of the snapshot commit together or not at all.

    An instant that was decided before is skipped, under whatever id its watchlist was recorded then: deciding twice
    changes nothing, and each instant has one watchlist that it was decided on.
    """
    now = desk.clock.now()
    desk.facts.prepare(snapshot.session)  # reads bars: not while the ledger is held
    with desk.ledger.transaction() as tx:
        selected = [setup for setup in tx.setups(snapshot.snapshot_id) if setup.selected]
        if not selected or snapshot.as_of in _decided_instants(desk, tx, snapshot):
            return Decided(skipped=len(selected))
        book, counts, made = read_book(desk, tx, snapshot, times, now), Decided(), list[Decidable]()
        desk = under(desk, tx, snapshot.session, book.equity_usd)
        for setup in _candidates(desk, tx, snapshot, selected, now):
            book, counts = _decide_one(desk, tx, setup, with_quote(book, quotes, setup.symbol), counts, made)
        tx.add_all(made)
    _tell(snapshot, made, counts)
    return counts


def _tell(snapshot: ScanSnapshot, made: Sequence[Decidable], counts: Decided) -> None:
    """In the log, once it is on record."""
    with working_on(snapshot=snapshot.snapshot_id):
        log.info("decided: %d planned, %d approved, %d refused", counts.planned, counts.approved, counts.refused)
        for one in made:
            if isinstance(one, Order) and one.leg is Leg.ENTRY:
                words = {"intent": one.intent_id, "order": one.client_order_id, "symbol": one.symbol}
                log.info("to be entered: %s of %s", one.quantity, one.symbol, extra=words)


def _candidates(
    desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot, selected: Sequence[Setup], now: datetime
) -> Sequence[Setup]:
    """The best ranked rows, as many as one execution may decide; what is left out is told. No symbol is there twice:
    the ledger refuses such a watchlist."""
    kept = selected[: desk.rules.risk.max_candidates_per_execution]
    if len(kept) < len(selected):
        tx.add_risk_event(_cut_event(desk, snapshot, len(selected), len(kept), now))
    return kept


def _cut_event(desk: Desk, snapshot: ScanSnapshot, rows: int, kept: int, now: datetime) -> RiskEvent:
    return RiskEvent(
        event_id=digest("watchlist_cut", desk.account, desk.strategy, snapshot.snapshot_id),
        account=desk.account,
        session=snapshot.session,
        occurred_at=now,
        kind="watchlist_cut",
        severity="WARNING",
        message=f"of {rows} rows the best {kept} were decided: max_candidates_per_execution allows no more",
        data={"snapshot_id": snapshot.snapshot_id, "rows": str(rows), "decided": str(kept)},
    )


def _decided_instants(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> set[datetime]:
    """The `as_of` of every watchlist of the session from which the strategy has planned or refused a trade."""
    instants = {plan.as_of for plan in tx.plans(desk.account, snapshot.session) if plan.strategy == desk.strategy}
    for event in tx.risk_events(desk.account, snapshot.session):
        setup = tx.setup(event.data["setup_id"]) if event.kind == "plan_refused" else None
        if setup is not None and event.event_id == _refusal_id(desk, setup):
            instants.add(setup.as_of)
    return instants


def with_quote(book: RiskBook, quotes: Mapping[str, Quote], symbol: str) -> RiskBook:
    """The book with the symbol's quote, or with none."""
    quote = quotes.get(symbol)
    if quote is None:
        return replace(book, quote=None, quoted_at=None, bid=None, ask=None)
    return replace(book, quote=quote.price, quoted_at=quote.quoted_at, bid=quote.bid, ask=quote.ask)


def _decide_one(
    desk: Desk, tx: LedgerTransaction, setup: Setup, book: RiskBook, counts: Decided, made: list[Decidable]
) -> tuple[RiskBook, Decided]:
    """`made` collects what is to be recorded: it is written together, which takes a fifth of the statements."""
    plan = plan_trade(
        setup, equity_usd=book.equity_usd, regime_multiplier=book.regime_multiplier, limits=desk.rules.risk,
        rules=desk.rules.plan, account=desk.account, strategy=desk.strategy, planned_at=book.now,
    )  # fmt: skip
    if isinstance(plan, PlanRefusal):
        made.append(refusal_event(desk, setup, plan, book.now))
        return book, replace(counts, refused=counts.refused + 1)
    book, decision, rows = _weigh(desk, tx, plan, setup, book)
    made.extend(rows)
    return book, replace(counts, planned=counts.planned + 1, approved=counts.approved + decision.approved)


def decide_plan(
    desk: Desk, tx: LedgerTransaction, plan: TradePlan, setup: Setup, book: RiskBook
) -> tuple[RiskBook, RiskDecision]:
    """Record a plan and its risk decision, and when approved its intent and orders; the book counts them as filled."""
    book, decision, rows = _weigh(desk, tx, plan, setup, book)
    tx.add_all(rows)
    return book, decision


def _weigh(
    desk: Desk, tx: LedgerTransaction, plan: TradePlan, setup: Setup, book: RiskBook
) -> tuple[RiskBook, RiskDecision, list[Decidable]]:
    """The decision on a plan, and what is to be recorded of it."""
    book = with_value_at_risk(desk, with_facts(desk, book, plan.symbol, plan.session), plan)
    decision = decide(plan, setup, book, desk.rules.risk)
    for alert in alert_causes.of_decision(plan, decision):
        tx.raise_alert(alert)
    if not decision.approved:
        return book, decision, [plan, decision, *_latch_repetition(desk, tx, plan, decision)]
    intent = _intent(desk, plan, decision)
    rows: list[Decidable] = [plan, decision, intent, *bracket_orders(desk, plan, intent)]
    return _reserved(book, plan, decision), decision, rows


def _latch_repetition(
    desk: Desk, tx: LedgerTransaction, plan: TradePlan, decision: RiskDecision
) -> tuple[Block, RiskEvent] | tuple[()]:
    """One entry too many in a symbol blocks it, in this session and later ones, until a person re-arms it."""
    over = next((f for f in decision.findings if f.code is Code.REPEATED_EXECUTION), None)
    if over is None or any(block.kind is BlockKind.REPEATED_EXECUTION for block in _blocks_on(desk, tx, plan.symbol)):
        return ()
    block_id = digest("repeated", desk.account, plan.plan_id)
    reason = f"entry {over.measured} in {plan.symbol} in session {plan.session}, {over.limit} are allowed"
    block = Block(
        block_id=block_id, account=desk.account, symbol=plan.symbol, kind=BlockKind.REPEATED_EXECUTION, reason=reason,
        since=decision.decided_at,
    )  # fmt: skip
    event = RiskEvent(
        event_id=block_id, account=desk.account, session=plan.session, occurred_at=decision.decided_at,
        kind=BlockKind.REPEATED_EXECUTION.value, severity="ERROR",
        message=f"{reason}: blocked until trading-pipeline risk rearm {plan.symbol}", data={"symbol": plan.symbol},
    )  # fmt: skip
    return block, event


def _blocks_on(desk: Desk, tx: LedgerTransaction, symbol: str) -> list[Block]:
    return [block for block in tx.blocks(desk.account, symbol=symbol) if block.symbol == symbol]


def rearm(desk: Desk, symbol: str, session: date, *, reason: str, operator: str) -> int:
    """Let a symbol be entered again whose block only a person ends (repeated execution, a split nobody announced).

    Its entries are counted from now on. Both are audited with operator and reason. Returns how many blocks ended;
    raises InputError when there is no such block, or operator or reason is empty.
    """
    if not operator.strip() or not reason.strip():
        raise InputError("a re-arm needs a name and a reason: --operator NAME --reason TEXT")
    now = desk.clock.now()
    with desk.ledger.transaction() as tx:
        latched = [b for b in _blocks_on(desk, tx, symbol) if b.kind.needs_person]
        if not latched:
            raise InputError(
                f"{symbol} is not blocked for repeated execution or a split in account {desk.account}: nothing to "
                "re-arm. Other blocks end by themselves; see them: trading-pipeline risk show"
            )
        cleared = sum(tx.clear_block(block.block_id, now, operator) for block in latched)
        tx.add_risk_event(
            RiskEvent(
                event_id=digest("rearmed", *(block.block_id for block in latched)), account=desk.account,
                session=session, occurred_at=now, kind=REARMED, severity="WARNING",
                message=f"{symbol} may be entered again: {reason} ({operator})",
                data={"symbol": symbol, "operator": operator, "reason": reason},
            )
        )  # fmt: skip
    return cleared


def _refusal_id(desk: Desk, setup: Setup) -> str:
    return digest("refusal", desk.account, desk.strategy, setup.setup_id)


def refusal_event(desk: Desk, setup: Setup, refusal: PlanRefusal, now: datetime) -> RiskEvent:
    """Why no plan could be made of a setup, for the record."""
    return RiskEvent(
        event_id=_refusal_id(desk, setup),
        account=desk.account,
        session=setup.session,
        occurred_at=now,
        kind="plan_refused",
        severity="INFO",
        message=refusal.message,
        data={"symbol": setup.symbol, "setup_id": setup.setup_id, "code": refusal.code.value},
    )


def _intent(desk: Desk, plan: TradePlan, decision: RiskDecision) -> Intent:
    return Intent(
        intent_id=digest("intent", desk.account, desk.strategy, plan.snapshot_id, plan.symbol),
        account=desk.account, strategy=desk.strategy, session=plan.session, symbol=plan.symbol,
        snapshot_id=plan.snapshot_id, setup_id=plan.setup_id, plan_id=plan.plan_id, decision_id=decision.decision_id,
        quantity=decision.quantity, reserved_risk_usd=decision.reserved_risk_usd,
        created_at=decision.decided_at, expires_at=plan.expires_at,
        code_version=desk.provenance.code_version, config_hash=desk.provenance.config_hash,
        run_id=desk.provenance.run_id,
    )  # fmt: skip


def bracket_orders(desk: Desk, plan: TradePlan, intent: Intent) -> tuple[Order, ...]:
    """Entry, stop and target (where there is one) as order rows, PendingNew; ids are a pure function of the setup."""
    entry_type = OrderType.LIMIT if desk.rules.plan.entry_type == "limit" else OrderType.MARKET
    entry = Order(
        client_order_id=leg_id(desk, plan, Leg.ENTRY), intent_id=intent.intent_id, account=desk.account,
        strategy=desk.strategy, session=plan.session, symbol=plan.symbol, side=Side.BUY, order_type=entry_type,
        quantity=intent.quantity, leg=Leg.ENTRY, time_in_force=TimeInForce.DAY, created_at=intent.created_at,
        updated_at=intent.created_at, limit_price=plan.entry if entry_type is OrderType.LIMIT else None,
        expires_at=plan.expires_at,
    )  # fmt: skip
    child = replace(entry, side=Side.SELL, parent_id=entry.client_order_id, limit_price=None, expires_at=None)
    stop = replace(
        child, client_order_id=leg_id(desk, plan, Leg.STOP), leg=Leg.STOP, order_type=OrderType.STOP,
        stop_price=plan.stop,
    )  # fmt: skip
    if plan.target is None:
        return entry, stop
    target = replace(
        child, client_order_id=leg_id(desk, plan, Leg.TARGET), leg=Leg.TARGET, order_type=OrderType.LIMIT,
        limit_price=plan.target,
    )  # fmt: skip
    return entry, stop, target


def leg_id(desk: Desk, origin: TradePlan | Setup, leg: Leg) -> str:
    """The client_order_id of an order that follows from a setup."""
    return client_order_id(desk.account, origin.session, desk.strategy, origin.symbol, origin.setup_id, leg, attempt=1)


def _reserved(book: RiskBook, plan: TradePlan, decision: RiskDecision) -> RiskBook:
    """The book with the approved entry counted as if filled."""
    reserved = Exposure(
        symbol=plan.symbol, quantity=decision.quantity, price=plan.entry, average_entry=plan.entry, stop=plan.stop,
        is_working=True, reserved_risk_usd=decision.reserved_risk_usd,
    )  # fmt: skip
    symbol, value = plan.symbol, decision.quantity * plan.entry
    return replace(
        book,
        buying_power_usd=book.buying_power_usd - value,
        settled_cash_usd=None if book.settled_cash_usd is None else book.settled_cash_usd - value,
        exposures=(*book.exposures, reserved),
        entries_today=book.entries_today + 1,
        orders_today=book.orders_today + 1,
        orders_today_by_symbol=_plus_one(book.orders_today_by_symbol, symbol),
        entries_today_by_symbol=_plus_one(book.entries_today_by_symbol, symbol),
        orders_this_execution=book.orders_this_execution + 1,
        decided_setups=book.decided_setups | {plan.setup_id},
    )


def _plus_one(counts: dict[str, int], key: str) -> dict[str, int]:
    return {**counts, key: counts.get(key, 0) + 1}


def digest(*parts: str) -> str:
    """A short stable id: the first 24 hex digits of the SHA-256 of the parts."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
