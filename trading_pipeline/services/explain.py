"""Walking back from a fill to the bars it was decided on, and forward to what came of it."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

import pandas as pd

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import ExecutionReport, Fill, Leg, Order
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.risk import Finding, RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.targets import SOURCES
from trading_pipeline.domain.trades import round_trip_id, whole_trades
from trading_pipeline.domain.trading_session import Intent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services import snapshots
from trading_pipeline.services.book import regime_at
from trading_pipeline.services.booking import trade_rows
from trading_pipeline.services.decision_log import Json, as_json
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.signals import is_reproduced

NEAREST = 3
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DecidedOn:
    """The trigger bars of the symbol that were known: how many, which, and their content.

    Bars in the units of the session; sha256 over `snapshots.content` of the rows. inputs: "unchanged" when the
    snapshot's input hash is reproduced from the bars stored now (of target signals: from the set on record and its
    daily bars), "changed since" when it is not, "not checked" when it was not asked for.
    """

    timeframe: str
    bars: int
    first_start: datetime | None
    last_end: datetime | None
    sha256: str
    inputs: str


@dataclass(frozen=True, slots=True)
class Section:
    """One step of the way back, as ordered label and value pairs."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything on record about one order, from its fills back to the bars, and on to the trade."""

    order: Order
    reports: tuple[ExecutionReport, ...]
    fills: tuple[Fill, ...]
    """Fills of the order itself."""
    legs: tuple[Order, ...]
    """Every order of the same intent, the asked one included."""
    intent: Intent
    decision: RiskDecision
    plan: TradePlan
    setup: Setup
    snapshot: ScanSnapshot
    regime: RegimeSnapshot | None
    decided_on: DecidedOn
    exits: tuple[Fill, ...]
    """Fills that took the position out."""
    trade: Trade | None

    @property
    def sections(self) -> tuple[Section, ...]:
        """The way back in order, from fill to bars; then the outcome."""
        return tuple(_sections(self))

    def to_json(self) -> dict[str, Json]:
        """Plain JSON values; code version, configuration hash and run id are under `origin`."""
        origin: dict[str, Json] = {
            "code_version": self.snapshot.code_version, "config_hash": self.snapshot.config_hash,
            "run_id": self.snapshot.run_id, "input_hash": self.snapshot.input_hash,
        }  # fmt: skip
        return {**as_json(self), "origin": origin}


def explain(desk: ResearchDesk, identity: str, *, reproduce_inputs: bool = True) -> Explanation:
    """What is on record about an order or a trade, given its client_order_id or trade_id; any leg will do.

    reproduce_inputs: read the whole market's history again and compare it with what the snapshot knew (seconds).

    Raises MissingResultError for an unknown id (naming the nearest known ones), and for an order whose intent, plan,
    setup or snapshot is not on record.
    """
    with desk.ledger.read() as tx:
        order = _require_order(tx, desk.settings.execution.account, identity)
        intent = _require(tx.intent(order.intent_id) if order.intent_id else None, "intent", order)
        plan = _require(tx.plan(intent.plan_id), "plan", order)
        setup = _require(tx.setup(intent.setup_id), "setup", order)
        snapshot = _require(tx.snapshot_by_id(intent.snapshot_id), "snapshot", order)
        decisions = {decision.decision_id: decision for decision in tx.decisions(plan.account, plan.session)}
        legs = _legs(tx, intent)
        entry = next((leg for leg in legs if leg.leg is Leg.ENTRY), order)
        fills = {leg.client_order_id: _fills_of(tx, leg) for leg in legs}
        return Explanation(
            order=order, reports=tuple(tx.reports(order.client_order_id)), fills=fills[order.client_order_id],
            legs=legs, intent=intent, decision=_require(decisions.get(intent.decision_id), "decision", order),
            plan=plan, setup=setup, snapshot=snapshot, regime=_regime_of(desk, tx, snapshot),
            decided_on=decided_on(desk, setup, snapshot, reproduce_inputs=reproduce_inputs),
            exits=tuple(fill for leg in legs if leg.leg is not Leg.ENTRY for fill in fills[leg.client_order_id]),
            trade=next(iter(whole_trades(trade_rows(tx, entry.client_order_id))), None),
        )  # fmt: skip


def _regime_of(desk: ResearchDesk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> RegimeSnapshot | None:
    """The regime that a decision on the snapshot saw: of the same code and configuration, not too old."""
    regimes = tx.regimes(snapshot.session, config_hash=snapshot.config_hash, code_version=snapshot.code_version)
    return regime_at(regimes, snapshot.as_of, desk.calendar.times(snapshot.session).opens_at)


def _require_order(tx: LedgerTransaction, account: str, identity: str) -> Order:
    order = tx.order(identity) or tx.order(round_trip_id(identity))
    if order is not None:
        return order
    known = [o.client_order_id for record in tx.session_records(account) for o in tx.orders(account, record.session)]
    nearest = difflib.get_close_matches(identity, sorted(known), n=NEAREST, cutoff=0.0)
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "Trade a session first: trading-pipeline demo"
    raise MissingResultError(f"none of the {len(known)} orders of account {account} is called {identity!r}. {hint}")


def _require(record: T | None, what: str, order: Order) -> T:
    if record is None:
        raise MissingResultError(
            f"the {what} behind order {order.client_order_id} (intent {order.intent_id!r}) is not on record: it was "
            "not decided here. See what the venue reported: trading-pipeline orders"
        )
    return record


def _legs(tx: LedgerTransaction, intent: Intent) -> tuple[Order, ...]:
    """Orders of the intent in any session: a position held overnight has legs of later ones."""
    sessions = [r.session for r in tx.session_records(intent.account) if r.session >= intent.session]
    orders = (order for session in sessions or [intent.session] for order in tx.orders(intent.account, session))
    return tuple(order for order in orders if order.intent_id == intent.intent_id)


def _fills_of(tx: LedgerTransaction, order: Order) -> tuple[Fill, ...]:
    fills = tx.fills(order.account, symbol=order.symbol)
    return tuple(fill for fill in fills if fill.client_order_id == order.client_order_id)


def decided_on(desk: ResearchDesk, setup: Setup, snapshot: ScanSnapshot, *, reproduce_inputs: bool) -> DecidedOn:
    """The trigger bars a setup was scored on, and whether everything its snapshot knew is still stored as it was."""
    bars = desk.view(setup.session, desk.trigger, [setup.symbol])
    rows = bars[bars["end"] <= pd.Timestamp(setup.as_of)]
    return DecidedOn(
        timeframe=desk.trigger.value,
        bars=len(rows),
        first_start=rows["start"].iloc[0].to_pydatetime() if len(rows) else None,
        last_end=rows["end"].iloc[-1].to_pydatetime() if len(rows) else None,
        sha256=hashlib.sha256(snapshots.content(rows)).hexdigest(),
        inputs=_inputs_now(desk, snapshot) if reproduce_inputs else "not checked",
    )


def _inputs_now(desk: ResearchDesk, snapshot: ScanSnapshot) -> str:
    if snapshot.source in SOURCES:
        return "unchanged" if is_reproduced(desk, snapshot) else "changed since"
    known = snapshots.input_hashes(desk, snapshot.session, desk.instants(snapshot.session))
    return "unchanged" if known.get(pd.Timestamp(snapshot.as_of)) == snapshot.input_hash else "changed since"


def _sections(found: Explanation) -> Iterator[Section]:
    for fill in found.fills:
        yield _section("Fill", fill, "exec_id", "side", "quantity", "price", "commission", "executed_at", "broker")
    order = ("client_order_id", "symbol", "side", "order_type", "leg", "quantity", "limit_price", "stop_price")
    yield _section("Order", found.order, *order, "status", "cum_qty", "avg_px", "created_at", "venue_order_id", "text")
    yield _section("Intent", found.intent, "intent_id", "quantity", "reserved_risk_usd", "created_at", "expires_at")
    yield _decision(found.decision)
    levels = ("entry", "stop", "target", "risk_per_share", "reward_risk", "multiplier", "quantity", "size_bound_by")
    yield _section("Plan", found.plan, "plan_id", *levels, "entry_reason", "planned_at")
    yield _setup(found.setup)
    origin = ("snapshot_id", "as_of", "code_version", "config_hash", "run_id", "input_hash", "scored", "selected")
    yield _section("Snapshot", found.snapshot, *origin)
    if found.regime is not None:
        yield _regime(found.regime)
    yield _section("Bars", found.decided_on, *(field.name for field in fields(found.decided_on)))
    yield from _outcome(found)


def _section(title: str, record: object, *names: str) -> Section:
    values = ((name, getattr(record, name)) for name in names)
    return Section(title, tuple((name, _text(value)) for name, value in values if value not in (None, "")))


def _text(value: object) -> str:
    match value:
        case Decimal():
            return plain(value) if value.is_finite() else str(value)
        case float():
            return f"{value:.4f}".rstrip("0").rstrip(".")
        case datetime() | date():
            return value.isoformat()
    return str(value)


def _decision(decision: RiskDecision) -> Section:
    base = _section("Risk decision", decision, "decision_id", "approved", "requested_quantity", "quantity", "bound_by")
    return Section(base.title, (*base.lines, *(_finding(finding) for finding in decision.findings)))


def _finding(finding: Finding) -> tuple[str, str]:
    measured = f"{_text(finding.measured)} against {finding.limit_name} {_text(finding.limit)}"
    return f"{finding.verdict.value}: {finding.code.value}", f"{measured}. {finding.message}".strip()


def _setup(setup: Setup) -> Section:
    names = ("setup_id", "score", "grade", "state", "phase", "reward_risk", "rank", "entry", "stop", "target")
    base = _section("Setup", setup, *names)
    return Section(base.title, (*base.lines, *_pairs(setup.components), *_pairs(setup.details)))


def _regime(regime: RegimeSnapshot) -> Section:
    names = ("regime_id", "as_of", "regime_class", "score", "size_multiplier", "positions_allowed", "only_a_plus")
    base = _section("Regime", regime, *names)
    missing = (("missing", ", ".join(regime.missing)),) if regime.missing else ()
    return Section(base.title, (*base.lines, *_pairs(regime.parts), *missing))


def _pairs(values: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    return [(name, _text(value)) for name, value in values.items() if value is not None]


def _outcome(found: Explanation) -> Iterator[Section]:
    if found.reports:
        yield Section("Reports", tuple((_text(r.occurred_at), _report(r)) for r in found.reports))
    if found.exits:
        yield Section("Exits", tuple((_text(f.executed_at), _sale(f)) for f in found.exits))
    if found.trade is not None:
        money = ("gross_usd", "commission_usd", "slippage_usd", "net_usd", "r_multiple", "mae_usd", "mfe_usd")
        names = ("trade_id", "entry_at", "exit_at", "quantity", "entry_px", "exit_px", "exit_reason")
        yield _section("Trade", found.trade, *names, *money)


def _report(report: ExecutionReport) -> str:
    traded = f" {plain(report.last_qty)} at {plain(report.last_px)}" if report.last_qty else ""
    prices = (("stop", report.stop_price), ("limit", report.limit_price))
    moved = "".join(f" {name} {plain(price)}" for name, price in prices if price is not None)
    return f"{report.exec_type.value}{traded}{moved} {report.text}".strip()


def _sale(fill: Fill) -> str:
    return f"{fill.side.value} {plain(fill.quantity)} at {plain(fill.price)} ({fill.client_order_id})"
