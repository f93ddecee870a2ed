"""The book a risk decision looks at, built from the ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Fill, Leg, Order, OrdStatus, Side
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.risk import Exposure, RiskBook
from trading_pipeline.domain.risk_measure import value_of
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.modes.terms import terms_in_force
from trading_pipeline.services.reconciled import is_reconciled

REGIME_DUE, MAX_REGIME_AGE = timedelta(minutes=30), timedelta(minutes=35)
"""After the open the first regime of the session is due; how long one stays valid."""
REARMED = "rearmed"
"""Kind of the risk event by which a person lets a symbol be entered again."""
UNCONFIRMED = frozenset({OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Money and shares at one instant: cash (USD), open positions, working entries and their prices by order id."""

    cash_usd: Decimal
    positions: tuple[Position, ...]
    working: tuple[Order, ...]
    entry_prices: Mapping[str, Decimal] = field(default_factory=dict)
    unsettled_usd: Decimal = ZERO
    """What sales of the session brought: it settles on the next session."""
    open_orders: tuple[Order, ...] = ()
    activities: tuple[CashActivity, ...] = ()
    """Everything open, and the session's cash movements besides fills: as read for the rest."""

    @property
    def positions_usd(self) -> Decimal:
        """Market value of the open positions at their last good price."""
        return sum((p.quantity * (p.mark or p.avg_px) for p in self.positions), ZERO)

    @property
    def equity_usd(self) -> Decimal:
        """Cash plus positions."""
        return self.cash_usd + self.positions_usd

    @property
    def buying_power_usd(self) -> Decimal:
        """Cash that no working entry has spoken for."""
        return self.cash_usd - sum((o.leaves_qty * self.entry_prices[o.client_order_id] for o in self.working), ZERO)

    @property
    def settled_cash_usd(self) -> Decimal:
        """What a cash account may still spend in this session."""
        return self.buying_power_usd - self.unsettled_usd


def cash_after(opening_cash_usd: Decimal, fills: Sequence[Fill]) -> Decimal:
    """Cash (USD) after the fills: buys take, sells give, commissions take; reversals undo."""
    return opening_cash_usd + sum((_cash_flow(fill) for fill in fills), ZERO)


def recorded_cash(tx: LedgerTransaction, record: SessionRecord) -> Decimal:
    """Cash (USD) by the record: what the session opened with, its fills, its cash activities (fees, dividends)."""
    activities = tx.cash_activities(record.account, session=record.session)
    return _cash(record, tx.fills(record.account, session=record.session), activities)


def _cash(record: SessionRecord, fills: Sequence[Fill], activities: Sequence[CashActivity]) -> Decimal:
    return cash_after(record.opening_cash_usd, fills) + sum((one.amount_usd for one in activities), ZERO)


def _cash_flow(fill: Fill) -> Decimal:
    gross = fill.quantity * fill.price
    flow = (gross if fill.side is Side.SELL else -gross) - fill.commission
    return -flow if fill.is_reversal else flow


def read_holdings(desk: Desk, tx: LedgerTransaction, record: SessionRecord) -> Holdings:
    """Cash, positions and working entries of the running session.

    The positions carry the stop that is open now, not the one they were last given: without one their notional counts.
    """
    open_orders, fills = tx.open_orders(desk.account), tx.fills(desk.account, session=record.session)
    activities = tx.cash_activities(desk.account, session=record.session)
    entries = tuple(order for order in open_orders if order.leg is Leg.ENTRY)
    return Holdings(
        cash_usd=_cash(record, fills, activities),
        positions=tuple(replace(p, stop=open_stop(p, open_orders)) for p in tx.positions(desk.account)),
        working=entries,
        open_orders=tuple(open_orders),
        activities=tuple(activities),
        entry_prices={order.client_order_id: _entry_price(tx, order) for order in entries},
        unsettled_usd=sum((_sold_usd(fill) for fill in fills if fill.side is Side.SELL), ZERO),
    )


def _sold_usd(fill: Fill) -> Decimal:
    return fill.quantity * fill.price * (-1 if fill.is_reversal else 1)


def open_stop(position: Position, orders: Sequence[Order]) -> Decimal | None:
    """The lowest stop price (USD per share) among the open stops of a position; None when they do not cover it all."""
    stops = [o for o in orders if o.leg is Leg.STOP and o.symbol == position.symbol and o.status not in UNCONFIRMED]
    prices = [order.stop_price for order in stops if order.stop_price is not None]
    covered = sum((order.leaves_qty for order in stops), ZERO)
    return min(prices) if prices and covered >= position.quantity else None


def _entry_price(tx: LedgerTransaction, entry: Order) -> Decimal:
    """What a working entry is expected to pay (USD per share): its limit, else the price it was planned at.

    What others ordered has no plan: without a limit or a stop it costs nothing before it fills.
    """
    if entry.limit_price is not None:
        return entry.limit_price
    if entry.intent_id is None:
        return entry.stop_price or entry.avg_px
    intent = tx.intent(entry.intent_id)
    plan = tx.plan(intent.plan_id) if intent else None
    if plan is None:
        raise MissingResultError(f"entry {entry.client_order_id} of {entry.symbol} has no plan on record: {entry}")
    return plan.entry


def require_record(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> SessionRecord:
    """The session's record; raises MissingResultError when the session was never started."""
    record = tx.session_record(desk.account, snapshot.session)
    if record is None:
        raise MissingResultError(
            f"session {snapshot.session} of account {desk.account} has not been started: nothing can be decided in it. "
            f"Start it: trading-pipeline session replay --session {snapshot.session}"
        )
    return record


def read_book(
    desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot, times: SessionTimes, now: datetime
) -> RiskBook:
    """Everything the checks may look at, before any quote or fact is known; one read of the ledger."""
    record = require_record(desk, tx, snapshot)
    holdings, session = read_holdings(desk, tx, record), snapshot.session
    intents, rung = tx.intents(desk.account, session), terms_in_force(tx, desk.account, session).rung
    book = RiskBook(
        equity_usd=holdings.equity_usd,
        prior_close_equity_usd=record.opening_equity_usd,
        cash_flows_today_usd=_flows(holdings.activities),
        buying_power_usd=holdings.buying_power_usd + (desk.rules.risk.buying_power_multiple - 1) * holdings.equity_usd,
        settled_cash_usd=holdings.settled_cash_usd,
        exposures=exposures(holdings, intents),
        orders_this_execution=sum(intent.snapshot_id == snapshot.snapshot_id for intent in intents),
        decided_setups=frozenset(intent.setup_id for intent in intents),
        own_orders=holdings.open_orders,
        mode=rung.mode,
        mode_positions=rung.symbols,
        quote=None,
        quoted_at=None,
        base_bar_minutes=desk.base_bar_minutes,
        snapshot_as_of=snapshot.as_of,
        now=now,
        entries_open_at=times.opens_at + timedelta(minutes=desk.rules.entry_open_delay_minutes),
        entries_close_at=times.closes_at - timedelta(minutes=desk.rules.entry_close_lead_minutes),
        **_counted(desk, tx, session),
        **_regime(regime_at(desk.regimes(tx, session), snapshot.as_of, times.opens_at)),
    )
    return _with_permissions(desk, tx, book, session)


def _flows(activities: Sequence[CashActivity]) -> Decimal:
    """Money put in less taken out (USD): no result of trading."""
    return sum((activity.amount_usd for activity in activities if activity.kind.is_flow), ZERO)


def _counted(desk: Desk, tx: LedgerTransaction, session: date) -> dict[str, Any]:
    """Orders and entries of the session; those of a symbol since a person last re-armed it.

    A refused order was sent and counts: a strategy that is refused over and over runs into its limits.
    """
    sent = [o for o in tx.orders(desk.account, session) if _counts(o)]
    entries = [order for order in sent if order.leg is Leg.ENTRY]
    rearmed = rearmed_at(tx.risk_events(desk.account, session))
    recent = [o.symbol for o in entries if o.symbol not in rearmed or o.created_at > rearmed[o.symbol]]
    return {
        "entries_today": len(entries),
        "orders_today": len(sent),
        "orders_today_by_symbol": dict(Counter(order.symbol for order in sent)),
        "entries_today_by_symbol": dict(Counter(recent)),
    }


def rearmed_at(events: Sequence[RiskEvent]) -> dict[str, datetime]:
    """When each symbol was last re-armed."""
    found = sorted((event.occurred_at, event.data["symbol"]) for event in events if event.kind == REARMED)
    return {symbol: at for at, symbol in found}


def _regime(regime: RegimeSnapshot | None) -> dict[str, Any]:
    """What the regime allows; an unknown one is hostile, halves the size and allows one A+ position."""
    if regime is None:
        return {"regime_score": 0.0, "regime_multiplier": Decimal("0.5"), "regime_positions": 1, "only_a_plus": True}
    return {
        "regime_score": regime.score,
        "regime_multiplier": Decimal(repr(regime.size_multiplier)),
        "regime_positions": regime.positions_allowed,
        "only_a_plus": regime.only_a_plus,
    }


def _with_permissions(desk: Desk, tx: LedgerTransaction, book: RiskBook, session: date) -> RiskBook:
    """Trading state, blocks and the newest reconciliation.

    An account that was never reconciled is not denied: a denial is for good, while the dispatcher holds every entry
    until its loop's first pass, seconds later, is clean.
    """
    state, passed = tx.trading_state(desk.account), tx.last_reconciliation(desk.account)
    differing = [one.symbol for one in passed.differing] if passed else []
    return replace(
        book,
        trading_state=state.state if state else TradingState.ACTIVE,
        blocks=tuple(tx.blocks(desk.account)),
        is_reconciled=passed is None or is_reconciled(tx, desk, session, book.now),
        unreconciled_symbols=frozenset(differing) - {""},
    )


def with_facts(desk: Desk, book: RiskBook, symbol: str, session: date) -> RiskBook:
    """The book with facts of the symbol and of everything held or working."""
    held = sorted({exposure.symbol for exposure in book.exposures})
    return replace(book, facts=desk.facts.facts([symbol, *held], held, session, book.now))


def with_value_at_risk(desk: Desk, book: RiskBook, plan: TradePlan) -> RiskBook:
    """The book with its VaR once the plan is filled, where a limit asks for it."""
    if desk.rules.risk.max_value_at_risk_fraction is None:
        return book
    values = values_by_symbol(book)
    values[plan.symbol] = values.get(plan.symbol, ZERO) + plan.quantity * plan.entry
    return replace(book, value_at_risk_usd=desk.facts.value_at_risk_usd(values, plan.session))


def values_by_symbol(book: RiskBook) -> dict[str, Decimal]:
    """Market value (USD) of positions and working entries, by symbol."""
    symbols = sorted({held.symbol for held in book.exposures})
    return {name: value_of(held for held in book.exposures if held.symbol == name) for name in symbols}


def exposures(holdings: Holdings, intents: Sequence[Intent]) -> tuple[Exposure, ...]:
    """Positions, then working entries with the risk their intents reserved for what is still open."""
    reserved = {intent.intent_id: intent for intent in intents}
    held = [
        Exposure(symbol=p.symbol, quantity=p.quantity, price=p.mark or p.avg_px, average_entry=p.avg_px, stop=p.stop)
        for p in holdings.positions
    ]
    working = [
        _working(order, holdings.entry_prices[order.client_order_id], reserved.get(order.intent_id or ""))
        for order in holdings.working
    ]
    return (*held, *working)


def _working(order: Order, price: Decimal, intent: Intent | None) -> Exposure:
    full = order.leaves_qty * price
    return Exposure(
        symbol=order.symbol, quantity=order.leaves_qty, price=price, average_entry=price, stop=None, is_working=True,
        reserved_risk_usd=intent.reserved_risk_usd * order.leaves_qty / order.quantity if intent else full,
    )  # fmt: skip


def _counts(order: Order) -> bool:
    return order.leg in {Leg.ENTRY, Leg.EXIT} and order.status is not OrdStatus.DENIED


def regime_at(regimes: Sequence[RegimeSnapshot], as_of: datetime, opens_at: datetime) -> RegimeSnapshot | None:
    """The newest regime snapshot known at `as_of`; None when there is none (an unknown market is hostile).

    The pre-market one serves until 30 minutes after the open; from then on one older than 35 minutes is unknown: the
    regime is scored every 30 minutes, so its scoring has failed.
    """
    known = [regime for regime in regimes if regime.as_of <= as_of]
    is_early = as_of <= opens_at + REGIME_DUE
    return known[-1] if known and (is_early or as_of - known[-1].as_of <= MAX_REGIME_AGE) else None


def quote_or_none(quotes: dict[str, Quote], symbol: str) -> tuple[Decimal | None, datetime | None]:
    """Price and instant of the symbol's last quote."""
    quote = quotes.get(symbol)
    return (quote.price, quote.quoted_at) if quote else (None, None)
