"""Small trading objects with sensible defaults; a test names only what it is about.

The default story: account A buys 100 XYZ at 50.00, stop 48.00, target 56.00, with 100,000 USD, at 10:30 New York.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.orders import (
    ExecType,
    ExecutionReport,
    Fill,
    Leg,
    Order,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.positions import ExitReason, Position, Trade
from trading_pipeline.domain.risk import Exposure, RiskBook, SymbolFacts
from trading_pipeline.domain.setups import Setup, TradePlan

SESSION = date(2025, 6, 10)
AT = datetime(2025, 6, 10, 14, 30, tzinfo=UTC)
OPENS_AT = datetime(2025, 6, 10, 13, 30, tzinfo=UTC)
CLOSES_AT = datetime(2025, 6, 10, 20, 0, tzinfo=UTC)

_numbers = count(1)


def dec(number: object) -> Decimal:
    """A Decimal of whatever reads as one."""
    return Decimal(str(number))


def an_order(**changes: Any) -> Order:
    """A working entry: buy 100 XYZ at 50.00, nothing filled."""
    order = Order(
        client_order_id="tp-entry",
        intent_id="intent-1",
        account="A",
        strategy="sabr20",
        session=SESSION,
        symbol="XYZ",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=dec(100),
        leg=Leg.ENTRY,
        time_in_force=TimeInForce.DAY,
        created_at=AT,
        updated_at=AT,
        status=OrdStatus.NEW,
        limit_price=dec("50.00"),
    )
    return replace(order, **_decimals(changes, "quantity", "cum_qty", "avg_px", "limit_price", "stop_price"))


def a_report(exec_type: ExecType, **changes: Any) -> ExecutionReport:
    """A report about `an_order()`; a trade is of 100 at 50.00 unless said otherwise. Each has its own exec_id."""
    is_trade = exec_type in {ExecType.TRADE, ExecType.TRADE_CANCEL}
    report = ExecutionReport(
        exec_id=f"exec-{next(_numbers)}",
        client_order_id="tp-entry",
        venue_order_id="venue-1",
        exec_type=exec_type,
        occurred_at=AT,
        last_qty=dec(100 if is_trade else 0),
        last_px=dec("50.00" if is_trade else 0),
    )
    money = ("last_qty", "last_px", "commission", "limit_price", "stop_price", "quantity")
    return replace(report, **_decimals(changes, *money))


def a_fill(side: Side = Side.BUY, quantity: object = 100, price: object = "50.00", **changes: Any) -> Fill:
    """100 XYZ bought at 50.00 without commission."""
    fill = Fill(
        broker="simulated",
        exec_id=f"exec-{next(_numbers)}",
        client_order_id="tp-entry",
        account="A",
        session=SESSION,
        symbol="XYZ",
        side=side,
        quantity=dec(quantity),
        price=dec(price),
        commission=dec(0),
        executed_at=AT,
    )
    return replace(fill, **_decimals(changes, "commission"))


def a_setup(**changes: Any) -> Setup:
    """An A+ setup of XYZ whose plan is entry 50.00, stop 48.00, target 56.00."""
    setup = Setup(
        setup_id="setup-1",
        snapshot_id="snapshot-1",
        symbol="XYZ",
        session=SESSION,
        as_of=AT,
        score=80.5,
        grade="A+",
        state="BottomActive",
        phase="Early",
        reward_risk=3.0,
        entry=50.0,
        stop=48.0,
        target=56.0,
        lowest_low=49.0,
        lower_band=48.0,
        atr=1.0,
        atr_mean=1.0,
        rank=1,
        selected=True,
    )
    return replace(setup, **changes)


def a_plan(**changes: Any) -> TradePlan:
    """100 XYZ at 50.00, stop 48.00, target 56.00; risk per share and reward:risk follow the prices."""
    levels = {"entry": "50.00", "stop": "48.00", "target": "56.00"} | {
        name: changes.pop(name) for name in ("entry", "stop", "target") if name in changes
    }
    entry, stop = dec(levels["entry"]), dec(levels["stop"])
    target = None if levels["target"] is None else dec(levels["target"])
    risk = entry - stop
    plan = TradePlan(
        plan_id="plan-1",
        setup_id="setup-1",
        snapshot_id="snapshot-1",
        account="A",
        strategy="sabr20",
        session=SESSION,
        symbol="XYZ",
        as_of=AT,
        planned_at=AT,
        entry=entry,
        stop=stop,
        target=target,
        risk_per_share=risk,
        reward_risk=(target - entry) / risk if target is not None and risk > 0 else dec(0),
        multiplier=dec(1),
        quantity=dec(100),
        size_bound_by="max_trade_risk_fraction",
        entry_reason="A+ setup",
        expires_at=AT + timedelta(minutes=15),
    )
    return replace(plan, **_decimals(changes, "quantity", "multiplier", "risk_per_share"))


def an_exposure(symbol: str = "HELD", quantity: object = 100, price: object = "20.00", **changes: Any) -> Exposure:
    """A position at its average price with a stop 1.00 below."""
    exposure = Exposure(
        symbol=symbol, quantity=dec(quantity), price=dec(price), average_entry=dec(price), stop=dec(price) - 1
    )
    return replace(exposure, **_decimals(changes, "average_entry", "stop", "reserved_risk_usd"))


def facts(symbol: str = "XYZ", sector: str | None = None, **changes: Any) -> SymbolFacts:
    """A symbol alone in its sector, far from earnings, that moves like nothing else."""
    known = SymbolFacts(
        symbol=symbol,
        sector=f"sector of {symbol}" if sector is None else sector,
        sector_source="sector map test",
        next_earnings=SESSION + timedelta(days=60),
        sessions_to_earnings=41,
        earnings_source="earnings calendar test",
        correlations=dict.fromkeys(KNOWN_SYMBOLS, 0.0),
        correlation_source="60 daily returns",
    )
    return replace(known, **changes)


KNOWN_SYMBOLS = ("XYZ", "ABC", "HELD", *(f"{letter}{n}" for letter in "HW" for n in range(10)))


def a_book(**changes: Any) -> RiskBook:
    """An empty book of 100,000 USD in a friendly market, with a fresh quote at 50.00 and known facts."""
    book = RiskBook(
        equity_usd=dec(100_000),
        prior_close_equity_usd=dec(100_000),
        cash_flows_today_usd=dec(0),
        buying_power_usd=dec(100_000),
        exposures=(),
        entries_today=0,
        orders_today=0,
        orders_today_by_symbol={},
        entries_today_by_symbol={},
        orders_this_execution=0,
        decided_setups=frozenset(),
        regime_score=75.0,
        regime_multiplier=dec(1),
        regime_positions=8,
        only_a_plus=False,
        quote=dec("50.00"),
        quoted_at=AT,
        base_bar_minutes=0,
        snapshot_as_of=AT,
        now=AT,
        entries_open_at=OPENS_AT + timedelta(minutes=15),
        entries_close_at=CLOSES_AT - timedelta(minutes=60),
        facts={symbol: facts(symbol) for symbol in KNOWN_SYMBOLS},
    )
    return replace(book, **changes)


def a_position(**changes: Any) -> Position:
    """100 XYZ held at 50.00 with the initial stop 48.00 in place: R is 2.00 a share."""
    position = Position(
        account="A",
        symbol="XYZ",
        trade_id="tp-entry",
        quantity=dec(100),
        avg_px=dec("50.00"),
        opened_at=AT,
        initial_stop=dec("48.00"),
        stop=dec("48.00"),
        target=dec("56.00"),
        bought_qty=dec(100),
    )
    return replace(position, **_decimals(changes, "quantity", "avg_px", "initial_stop", "stop", "target", "mark"))


def two_quotes(first: object, second: object, symbol: str = "XYZ") -> tuple[Quote, Quote]:
    """Two consecutive quotes, a minute apart."""
    return Quote(symbol, dec(first), AT), Quote(symbol, dec(second), AT + timedelta(minutes=1))


def a_trade(net_usd: object = 100, **changes: Any) -> Trade:
    """A closed trade with that net P&L, one dollar of commission and R of 200 USD."""
    net = dec(net_usd)
    trade = Trade(
        trade_id=f"trade-{next(_numbers)}",
        account="A",
        strategy="sabr20",
        symbol="XYZ",
        session=SESSION,
        entry_at=AT,
        exit_at=AT + timedelta(hours=1),
        quantity=dec(100),
        entry_px=dec("50.00"),
        exit_px=dec("50.00") + (net + 1) / 100,
        initial_stop=dec("48.00"),
        target=dec("56.00"),
        gross_usd=net + 1,
        commission_usd=dec(1),
        slippage_usd=dec(0),
        net_usd=net,
        return_fraction=net / 5000,
        r_multiple=net / 200,
        mae_usd=min(net, dec(0)),
        mfe_usd=max(net, dec(0)),
        exit_reason=ExitReason.TARGET,
        score=80.5,
        state="BottomActive",
        grade="A+",
        entry_reason="A+ setup",
        snapshot_id="snapshot-1",
        setup_id="setup-1",
    )
    return replace(trade, **changes)


def an_equity_point(equity_usd: object, minutes: int = 0, **changes: Any) -> EquityPoint:
    """Account value so many minutes after 10:30, all of it cash."""
    point = EquityPoint(
        account="A",
        session=SESSION,
        at=AT + timedelta(minutes=minutes),
        cash_usd=dec(equity_usd),
        positions_usd=dec(0),
        equity_usd=dec(equity_usd),
        open_risk_usd=dec(0),
        positions=0,
    )
    return replace(point, **changes)


def _decimals(changes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: dec(value) if name in names and value is not None else value for name, value in changes.items()}
