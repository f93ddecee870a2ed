"""From plan to closed trade. Each row names what caused it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from trading_pipeline.adapters.tables.base import Base, Computed, Recorded, only_one
from trading_pipeline.domain.orders import ExecType, Leg, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.risk import Finding


class TradePlanRow(Recorded, Base):
    """What was meant to be done with a setup."""

    __tablename__ = "trade_plans"
    __table_args__ = (Index(None, "account", "session"),)

    plan_id: Mapped[str] = mapped_column(unique=True)
    setup_id: Mapped[str] = mapped_column(ForeignKey("setups.setup_id"))
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("scan_snapshots.snapshot_id"))
    account: Mapped[str]
    strategy: Mapped[str]
    session: Mapped[date]
    symbol: Mapped[str]
    as_of: Mapped[datetime]
    planned_at: Mapped[datetime]
    entry: Mapped[Decimal]
    stop: Mapped[Decimal]
    target: Mapped[Decimal | None]
    risk_per_share: Mapped[Computed]
    reward_risk: Mapped[Computed]
    multiplier: Mapped[Computed]
    quantity: Mapped[Decimal]
    size_bound_by: Mapped[str]
    entry_reason: Mapped[str]
    expires_at: Mapped[datetime]


class RiskDecisionRow(Recorded, Base):
    """What risk said to a plan, with every finding."""

    __tablename__ = "risk_decisions"

    decision_id: Mapped[str] = mapped_column(unique=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("trade_plans.plan_id"), index=True)
    approved: Mapped[bool]
    requested_quantity: Mapped[Decimal]
    quantity: Mapped[Decimal]
    reserved_risk_usd: Mapped[Computed]
    findings: Mapped[tuple[Finding, ...]]
    bound_by: Mapped[str]
    decided_at: Mapped[datetime]


class IntentRow(Recorded, Base):
    """A decision to trade, written before anything is sent: one per symbol and snapshot."""

    __tablename__ = "intents"
    __table_args__ = (
        UniqueConstraint("account", "strategy", "snapshot_id", "symbol"),
        Index(None, "account", "session"),
    )

    intent_id: Mapped[str] = mapped_column(unique=True)
    account: Mapped[str]
    strategy: Mapped[str]
    session: Mapped[date]
    symbol: Mapped[str]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("scan_snapshots.snapshot_id"))
    setup_id: Mapped[str] = mapped_column(ForeignKey("setups.setup_id"))
    plan_id: Mapped[str] = mapped_column(ForeignKey("trade_plans.plan_id"))
    decision_id: Mapped[str] = mapped_column(ForeignKey("risk_decisions.decision_id"))
    quantity: Mapped[Decimal]
    reserved_risk_usd: Mapped[Computed]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    code_version: Mapped[str]
    config_hash: Mapped[str]
    run_id: Mapped[str]


class OrderRow(Recorded, Base):
    """An order's newest state. `asked_*` keep what was first asked; `claim_*` name who sends it.

    `is_working_entry` is set on our own entries until they end, and never again: one per account and symbol.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_above_zero"),
        CheckConstraint("cum_qty >= 0", name="cum_qty_not_negative"),
        Index(None, "account", "session"),
        Index(None, "account", "status"),
        only_one("uq_orders_working_entry", "account", "symbol", where="is_working_entry"),
    )

    client_order_id: Mapped[str] = mapped_column(unique=True)
    intent_id: Mapped[str | None] = mapped_column(ForeignKey("intents.intent_id"), index=True)
    account: Mapped[str]
    strategy: Mapped[str]
    session: Mapped[date]
    symbol: Mapped[str]
    side: Mapped[Side]
    order_type: Mapped[OrderType]
    quantity: Mapped[Decimal]
    leg: Mapped[Leg]
    time_in_force: Mapped[TimeInForce]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    status: Mapped[OrdStatus]
    limit_price: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    trail_amount: Mapped[Decimal | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("orders.client_order_id"), index=True)
    venue_order_id: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    submitted_at: Mapped[datetime | None]
    cum_qty: Mapped[Decimal]
    avg_px: Mapped[Computed]
    commission: Mapped[Decimal]
    text: Mapped[str]
    asked_quantity: Mapped[Decimal]
    asked_limit_price: Mapped[Decimal | None]
    asked_stop_price: Mapped[Decimal | None]
    claim_owner: Mapped[str | None]
    claim_fence: Mapped[int | None] = mapped_column(BigInteger())
    is_working_entry: Mapped[bool] = mapped_column(server_default=false())


class ExecutionReportRow(Recorded, Base):
    """What a venue said, word for word."""

    __tablename__ = "execution_reports"
    __table_args__ = (UniqueConstraint("broker", "exec_id"),)

    broker: Mapped[str]
    exec_id: Mapped[str]
    client_order_id: Mapped[str] = mapped_column(ForeignKey("orders.client_order_id"), index=True)
    venue_order_id: Mapped[str]
    exec_type: Mapped[ExecType]
    occurred_at: Mapped[datetime]
    last_qty: Mapped[Decimal]
    last_px: Mapped[Decimal]
    commission: Mapped[Decimal]
    limit_price: Mapped[Decimal | None]
    stop_price: Mapped[Decimal | None]
    quantity: Mapped[Decimal | None]
    text: Mapped[str]
    ref_exec_id: Mapped[str] = mapped_column(server_default="")


class FillRow(Recorded, Base):
    """One execution."""

    __tablename__ = "fills"
    __table_args__ = (
        UniqueConstraint("broker", "exec_id"),
        CheckConstraint("quantity > 0", name="quantity_above_zero"),
        CheckConstraint("price > 0", name="price_above_zero"),
        Index(None, "account", "session"),
        Index(None, "account", "symbol", "executed_at"),
    )

    broker: Mapped[str]
    exec_id: Mapped[str]
    client_order_id: Mapped[str] = mapped_column(ForeignKey("orders.client_order_id"), index=True)
    account: Mapped[str]
    session: Mapped[date]
    symbol: Mapped[str]
    side: Mapped[Side]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    commission: Mapped[Decimal]
    executed_at: Mapped[datetime]
    is_reversal: Mapped[bool]


class PositionRow(Base):
    """The fold of a round trip's fills. Open while quantity > 0; unrealised P&L is (mark − avg_px) × quantity."""

    __tablename__ = "positions"
    __table_args__ = (
        CheckConstraint("quantity >= 0", name="quantity_not_negative"),
        Index(None, "account", "symbol"),
        only_one("uq_positions_open", "account", "symbol", where="quantity > 0"),
    )

    trade_id: Mapped[str] = mapped_column(ForeignKey("orders.client_order_id"), primary_key=True)
    account: Mapped[str]
    symbol: Mapped[str]
    quantity: Mapped[Decimal]
    avg_px: Mapped[Computed]
    opened_at: Mapped[datetime]
    initial_stop: Mapped[Decimal | None]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    bought_qty: Mapped[Decimal]
    sold_qty: Mapped[Decimal]
    realized_usd: Mapped[Computed]
    commission_usd: Mapped[Decimal]
    mark: Mapped[Decimal | None]
    marked_at: Mapped[datetime | None]
    high_mark: Mapped[Decimal | None]
    low_mark: Mapped[Decimal | None]


class TradeRow(Base):
    """One closed round trip, whose position carries the same id; or, as `<trade_id>~2` and so on, what a bust or a late
    fill changed about it afterwards: only the difference, so of any sign.
    """

    __tablename__ = "trades"
    __table_args__ = (Index(None, "account", "session"),)

    trade_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    strategy: Mapped[str]
    symbol: Mapped[str] = mapped_column(index=True)
    session: Mapped[date]
    entry_at: Mapped[datetime] = mapped_column(index=True)
    exit_at: Mapped[datetime] = mapped_column(index=True)
    quantity: Mapped[Decimal]
    entry_px: Mapped[Computed]
    exit_px: Mapped[Computed]
    initial_stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    gross_usd: Mapped[Computed]
    commission_usd: Mapped[Decimal]
    slippage_usd: Mapped[Computed]
    net_usd: Mapped[Computed]
    return_fraction: Mapped[Computed]
    r_multiple: Mapped[Computed | None]
    mae_usd: Mapped[Computed]
    mfe_usd: Mapped[Computed]
    exit_reason: Mapped[ExitReason]
    score: Mapped[float | None]
    state: Mapped[str]
    grade: Mapped[str]
    entry_reason: Mapped[str]
    snapshot_id: Mapped[str | None] = mapped_column(ForeignKey("scan_snapshots.snapshot_id"))
    setup_id: Mapped[str | None] = mapped_column(ForeignKey("setups.setup_id"))
