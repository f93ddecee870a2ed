"""One trade's worth of ledger rows, each naming what caused it, and strategies for any value a row may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from trading_pipeline.adapters.ledger_transaction import SqlTransaction
from trading_pipeline.domain.audit import Checkpoint, LoggedEntry, SignedCheckpoint, Why
from trading_pipeline.domain.breaker import SessionPeak
from trading_pipeline.domain.control import (
    Alert,
    AlertLevel,
    AuditEntry,
    Block,
    BlockKind,
    TradingState,
    TradingStateRecord,
)
from trading_pipeline.domain.corporate import CashActivity, CashKind, Split
from trading_pipeline.domain.orders import (
    ExecType,
    ExecutionReport,
    Fill,
    Leg,
    Order,
    OrderType,
    Side,
    TimeInForce,
)
from trading_pipeline.domain.performance import DailyPerformance, EquityPoint
from trading_pipeline.domain.positions import ExitReason, Position, Trade
from trading_pipeline.domain.reconciliation import Break, BreakKind, Reconciliation
from trading_pipeline.domain.risk import Code, Finding, RiskDecision, Verdict
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent, RiskEvent, SessionPhase, SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline_tests.adapters.alert_samples import record_delivery
from trading_pipeline_tests.adapters.mode_samples import record_modes

ACCOUNT = "simulated"
SESSION = date(2025, 3, 10)
NOW = datetime(2025, 3, 10, 14, 15, tzinfo=UTC)

SNAPSHOT = ScanSnapshot(
    snapshot_id="scan-1",
    session=SESSION,
    as_of=NOW,
    code_version="1",
    config_hash="c",
    input_hash="i",
    scored=1,
    selected=1,
    created_at=NOW,
)
SETUP = Setup(
    setup_id="setup-1",
    snapshot_id="scan-1",
    symbol="AAPL",
    session=SESSION,
    as_of=NOW,
    score=88.5,
    grade="A+",
    state="BottomActive",
    phase="Early",
    reward_risk=2.5,
    entry=100.1,
    stop=98.0,
    target=105.35,
    lowest_low=98.5,
    lower_band=98.2,
    atr=1.1,
    atr_mean=1.0,
    rank=1,
    selected=True,
    components={"setup_strength": 30.0},
    details={"trigger": "macd", "missing": None},
)
REGIME = RegimeSnapshot(
    regime_id="regime-1",
    session=SESSION,
    as_of=NOW,
    regime_class="calm",
    score=61.0,
    size_multiplier=1.0,
    positions_allowed=5,
    only_a_plus=False,
    missing=("vix",),
    parts={"trend": 20.0},
    details={"spy": {"close": 500.5}},
    code_version="1",
    config_hash="c",
    input_hash="i",
    created_at=NOW,
)
PLAN = TradePlan(
    plan_id="plan-1",
    setup_id="setup-1",
    snapshot_id="scan-1",
    account=ACCOUNT,
    strategy="sabr20",
    session=SESSION,
    symbol="AAPL",
    as_of=NOW,
    planned_at=NOW,
    entry=Decimal("100.10"),
    stop=Decimal("98.00"),
    target=Decimal("105.35"),
    risk_per_share=Decimal("2.10"),
    reward_risk=Decimal("2.5"),
    multiplier=Decimal("0.75"),
    quantity=Decimal(100),
    size_bound_by="position_notional",
    entry_reason="A+ BottomActive",
    expires_at=NOW + timedelta(minutes=15),
)
DECISION = RiskDecision(
    decision_id="decision-1",
    plan_id="plan-1",
    approved=True,
    requested_quantity=Decimal(100),
    quantity=Decimal(100),
    reserved_risk_usd=Decimal(210),
    findings=(Finding(Verdict.WARNING, Code.TRADE_RISK, Decimal("0.0021"), Decimal("0.01"), "risk_fraction"),),
    bound_by="",
    decided_at=NOW,
)
INTENT = Intent(
    intent_id="intent-1",
    account=ACCOUNT,
    strategy="sabr20",
    session=SESSION,
    symbol="AAPL",
    snapshot_id="scan-1",
    setup_id="setup-1",
    plan_id="plan-1",
    decision_id="decision-1",
    quantity=Decimal(100),
    reserved_risk_usd=Decimal(210),
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=15),
    code_version="1",
    config_hash="c",
)
ORDER = Order(
    client_order_id="order-1",
    intent_id="intent-1",
    account=ACCOUNT,
    strategy="sabr20",
    session=SESSION,
    symbol="AAPL",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal(100),
    leg=Leg.ENTRY,
    time_in_force=TimeInForce.DAY,
    created_at=NOW,
    updated_at=NOW,
    limit_price=Decimal("100.10"),
)
REPORT = ExecutionReport(
    exec_id="exec-1",
    client_order_id="order-1",
    venue_order_id="v-1",
    exec_type=ExecType.TRADE,
    occurred_at=NOW,
    last_qty=Decimal(100),
    last_px=Decimal("100.0937"),
    commission=Decimal(1),
)
FILL = Fill(
    broker="simulated",
    exec_id="exec-1",
    client_order_id="order-1",
    account=ACCOUNT,
    session=SESSION,
    symbol="AAPL",
    side=Side.BUY,
    quantity=Decimal(100),
    price=Decimal("100.0937"),
    commission=Decimal(1),
    executed_at=NOW,
)
POSITION = Position(
    account=ACCOUNT,
    symbol="AAPL",
    trade_id="order-1",
    quantity=Decimal(100),
    avg_px=Decimal("100.0937"),
    opened_at=NOW,
)
TRADE = Trade(
    trade_id="order-1",
    account=ACCOUNT,
    strategy="sabr20",
    symbol="AAPL",
    session=SESSION,
    entry_at=NOW,
    exit_at=NOW + timedelta(hours=1),
    quantity=Decimal(100),
    entry_px=Decimal("100.0937"),
    exit_px=Decimal(105),
    initial_stop=Decimal(98),
    target=Decimal("105.35"),
    gross_usd=Decimal("490.63"),
    commission_usd=Decimal(2),
    slippage_usd=Decimal("5.01"),
    net_usd=Decimal("488.63"),
    return_fraction=Decimal("0.0488"),
    r_multiple=Decimal("2.33"),
    mae_usd=Decimal(-10),
    mfe_usd=Decimal(500),
    exit_reason=ExitReason.TARGET,
    score=88.5,
    state="BottomActive",
    grade="A+",
    entry_reason="A+ BottomActive",
    snapshot_id="scan-1",
    setup_id="setup-1",
)
DAILY = DailyPerformance(
    account=ACCOUNT,
    session=SESSION,
    trades=1,
    wins=1,
    losses=0,
    break_even=0,
    win_rate=Decimal(1),
    gross_usd=Decimal("490.63"),
    commission_usd=Decimal(2),
    slippage_usd=Decimal("5.01"),
    net_usd=Decimal("488.63"),
    average_r=Decimal("2.33"),
    largest_win_usd=Decimal("488.63"),
    largest_loss_usd=None,
    opening_equity_usd=Decimal(100_000),
    closing_equity_usd=Decimal("100488.63"),
    return_fraction=Decimal("0.0048863"),
    max_drawdown_fraction=Decimal(0),
    computed_at=NOW,
)
EQUITY = EquityPoint(
    account=ACCOUNT,
    session=SESSION,
    at=NOW,
    cash_usd=Decimal(90_000),
    positions_usd=Decimal(10_000),
    equity_usd=Decimal(100_000),
    open_risk_usd=Decimal(210),
    positions=1,
)
RISK_EVENT = RiskEvent(
    event_id="event-1",
    account=ACCOUNT,
    session=SESSION,
    occurred_at=NOW,
    kind="denial",
    severity="WARNING",
    message="too much",
    data={"limit": "0.01"},
)
SESSION_RECORD = SessionRecord(
    account=ACCOUNT,
    session=SESSION,
    phase=SessionPhase.RUNNING,
    opening_cash_usd=Decimal(100_000),
    opening_equity_usd=Decimal(100_000),
    was_flat=True,
    cursor_at=None,
    decision_hash="",
    code_version="1",
    config_hash="c",
    started_at=NOW,
)
CASH = CashActivity(
    broker="simulated",
    activity_id="cash-1",
    account=ACCOUNT,
    session=SESSION,
    kind=CashKind.DIVIDEND,
    amount_usd=Decimal("12.3456789012"),
    occurred_at=NOW,
    symbol="AAPL",
)
SPLIT = Split(account=ACCOUNT, symbol="AAPL", ex_date=SESSION, ratio=Decimal(3) / Decimal(7), effective_at=NOW)
BLOCK = Block(
    block_id="block-1", account=ACCOUNT, symbol="AAPL", kind=BlockKind.IN_DOUBT, reason="no answer", since=NOW
)
SESSION_PEAK = SessionPeak(account=ACCOUNT, session=SESSION, equity_usd=Decimal("100123.45"), reached_at=NOW)
TRADING_STATE = TradingStateRecord(
    account=ACCOUNT, state=TradingState.REDUCING, reason="5 refusals in a row", set_by="loop", changed_at=NOW
)
ALERT = Alert(
    alert_id="alert-1",
    account=ACCOUNT,
    session=SESSION,
    occurred_at=NOW,
    level=AlertLevel.CRITICAL,
    kind="overfill",
    message="more than ordered",
    data={"order": "order-1"},
)
AUDIT = AuditEntry(
    occurred_at=NOW, kind="operator", account=ACCOUNT, subject="AAPL", actor="a person", data={"said": "hello"}
)
BREAK = Break(kind=BreakKind.STOP_MISSING, symbol="AAPL", subject="order-1", ours="98", theirs="nothing")
RECONCILIATION = Reconciliation(account=ACCOUNT, session=SESSION, at=NOW, breaks=(BREAK,), suspected=())


CAUSES: tuple[Callable[[LedgerTransaction], bool], ...] = (
    lambda tx: tx.add_snapshot(SNAPSHOT, [SETUP]),
    lambda tx: tx.add_plan(PLAN),
    lambda tx: tx.add_decision(DECISION),
    lambda tx: tx.add_intent(INTENT),
    lambda tx: tx.add_order(ORDER),
)  # each hangs on the ones before it


def record_causes(tx: LedgerTransaction, count: int) -> None:
    """The first `count` rows of the chain from scan to order."""
    for cause in CAUSES[:count]:
        cause(tx)


def record_decision(tx: LedgerTransaction) -> None:
    """Everything up to the intent, which orders and fills hang on."""
    record_causes(tx, 4)


def record_orders(tx: LedgerTransaction, *client_order_ids: str) -> None:
    """Entry orders of that intent, after the first one each in a symbol of its own."""
    for client_order_id in client_order_ids:
        symbol = ORDER.symbol if client_order_id == ORDER.client_order_id else client_order_id
        tx.add_order(replace(ORDER, client_order_id=client_order_id, symbol=symbol))


LOGGED = LoggedEntry(
    seq=1, outbox_no=1, body="{}", leaf="aa", head="bb", kind="plan", account=ACCOUNT, subject="plan-1", occurred_at=NOW
)
CHECKPOINT = Checkpoint(
    log_id="log-1", number=1, seq=1, head="bb", root="aa", previous="", at=NOW, key_id="cc", why=Why.START
)
SIGNED = SignedCheckpoint(text=CHECKPOINT.text, signature="dd", public_key="ee")


def record_trade(tx: LedgerTransaction) -> None:
    """One row in every table."""
    record_decision(tx)
    record_orders(tx, ORDER.client_order_id)
    tx.add_regime(REGIME)
    tx.add_report("simulated", REPORT)
    tx.add_fill(FILL)
    tx.save_position(POSITION)
    tx.add_trade(TRADE)
    tx.add_equity_point(EQUITY)
    tx.put_daily_performance(DAILY)
    tx.add_risk_event(RISK_EVENT)
    tx.save_session_record(SESSION_RECORD)
    record_control(tx)


def record_control(tx: LedgerTransaction) -> None:
    """One row in every table that steers, tells or compares."""
    tx.add_cash_activity(CASH)
    tx.add_split(SPLIT)
    tx.add_block(BLOCK)
    tx.set_trading_state(TRADING_STATE)
    tx.save_session_peak(SESSION_PEAK)
    tx.take_lease("leader", "us", NOW, 10)
    tx.add_alert(ALERT)
    tx.add_reconciliation(RECONCILIATION)
    record_modes(tx)
    if isinstance(tx, SqlTransaction):
        record_delivery(tx, ALERT)
        if tx.log_id() is None:
            record_audit(tx)


def record_audit(tx: SqlTransaction) -> None:
    """One row in every table of the audit log."""
    tx.name_log("log-1", NOW)
    tx.append_logged([LOGGED])
    tx.add_checkpoint(SIGNED, frontier=LOGGED.leaf)
