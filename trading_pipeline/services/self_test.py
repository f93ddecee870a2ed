"""Every control is tried before the first entry: what is to stop an order must be seen to stop one.

Nothing here leaves a trace at the venue or on record but the result; writes that are tried are rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NoReturn

from trading_pipeline.domain.control import Alert, AlertLevel, TradingState
from trading_pipeline.domain.errors import LeaseLost, NotReady, OrderRefused
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Leg, Order, OrderType, Side, TimeInForce
from trading_pipeline.domain.risk import RiskBook, decide
from trading_pipeline.domain.setups import Setup, TradePlan
from trading_pipeline.domain.submission import barrier
from trading_pipeline.services.border import Pacer
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.readiness import Check, require
from trading_pipeline.services.trading_state import current_state

NAME, MANY = "SELFTEST", Decimal(1_000_000_000)
ZERO, ONE, NAN = Decimal(0), Decimal(1), Decimal("NaN")


class _Undo(Exception):
    pass


def _undo() -> NoReturn:
    raise _Undo


@dataclass(slots=True)
class _ShownClock:
    """Implements Clock: waiting takes no time and is seen."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The controls of a desk, tried one by one."""

    desk: Desk
    times: SessionTimes

    def checks(self) -> Sequence[Check]:
        """In the order in which they are told."""
        return (
            Check("trading_state", self.trading_state),
            Check("latch", self.latch),
            Check("last_look", self.last_look),
            Check("risk_checks", self.risk_checks),
            Check("pacer", self.pacer),
            Check("lease", self.lease),
            Check("fencing", self.fencing),
            Check("alerts", self.alerts),
            Check("stops", self.stops),
            Check("cancels", self.cancels),
        )

    def trading_state(self) -> str:
        """It can be read, now."""
        with self.desk.ledger.read() as tx:
            return f"reads {current_state(tx, self.desk.account).value}"

    def latch(self) -> str:
        """The file beside the database can be read; what cannot be read blocks."""
        if self.desk.latch is None:
            return "none here: this account leaves no trace"
        latched = self.desk.latch.look()
        require(latched.trip is not None or latched.state.allows_entries, latched.words)
        return f"reads {latched.state.value}"

    def last_look(self) -> str:
        """No buy passes a halt, and a stop does."""
        buy, stop = self._order(Side.BUY, OrderType.LIMIT), self._order(Side.SELL, OrderType.STOP)
        for state in (TradingState.HALTED, TradingState.REDUCING):
            require(bool(barrier(buy, state, ())), f"a buy would leave while trading is {state.value}")
            require(not barrier(stop, state, ()), f"a stop would not leave while trading is {state.value}")
        return "buys are held back while trading is HALTED or REDUCING; stops leave"

    def risk_checks(self) -> str:
        """Orders that make no sense are denied, whatever else they look like."""
        plan, book = self._plan(), self._book()
        nonsense = {
            "a stop above its entry": (replace(plan, stop=Decimal(60), risk_per_share=Decimal(-10)), book),
            "a price that is no number": (replace(plan, entry=NAN), book),
            "no shares": (replace(plan, quantity=ZERO), book),
            "a halted account": (plan, replace(book, trading_state=TradingState.HALTED)),
            "an account without money": (plan, replace(book, equity_usd=ZERO, buying_power_usd=ZERO)),
        }
        passed = [name for name, (asked, at) in nonsense.items() if self._is_approved(asked, at)]
        require(not passed, f"the risk checks approve what makes no sense: {', '.join(passed)}")
        huge = decide(replace(plan, quantity=MANY), self._setup(), book, self.desk.rules.risk)
        most = self.desk.rules.risk.max_order_notional_usd
        require(huge.quantity * plan.entry <= most, f"the risk checks let {huge.quantity} shares leave at once")
        return f"{len(nonsense)} orders that make no sense are denied, and one of {MANY:,} shares is cut down"

    def pacer(self) -> str:
        """More entries than the rates allow have to wait."""
        rules, clock = self.desk.rules.submission, _ShownClock(self.times.opens_at)
        pacer = Pacer(clock, rules)
        for _ in range(rules.orders_per_second + 1):
            pacer.entry()
        require(clock.now() > self.times.opens_at, f"{rules.orders_per_second + 1} entries left within one second")
        return f"entry {rules.orders_per_second + 1} of a second waits"

    def lease(self) -> str:
        """This process leads, and would notice if it did not."""
        if self.desk.lease is None:
            return "none here: nobody else can enter"
        self.desk.lease.require()
        return f"held with token {self.desk.lease.token}"

    def fencing(self) -> str:
        """The ledger refuses the writes of a leader that was followed by another one."""
        if self.desk.lease is None:
            return "none here: nobody else can enter"
        stale = replace(self.desk.lease.lease, token=self.desk.lease.token - 1)
        try:
            with self.desk.ledger.fenced(stale).transaction():
                pass
        except LeaseLost:
            return "a leader of the past cannot write"
        raise NotReady("the ledger lets a leader of the past write: two loops could trade")

    def alerts(self) -> str:
        """An alert can be written; it is rolled back."""
        now = self.desk.clock.now()
        alert = Alert(
            alert_id=f"self-test-{self.desk.account}-{now.isoformat()}", account=self.desk.account,
            session=self.times.session, occurred_at=now, level=AlertLevel.INFO, kind="self_test", message="a test",
            data={},
        )  # fmt: skip
        try:
            with self.desk.ledger.transaction() as tx:
                tx.add_alert(alert)
                _undo()
        except _Undo:
            return "one can be put on record"

    def stops(self) -> str:
        """The venue keeps stops, over night as well."""
        venue = self.desk.broker.capabilities
        require(OrderType.STOP in venue.order_types, f"{self.desk.broker.name} takes no stop orders")
        require(TimeInForce.GTC in venue.times_in_force, f"{self.desk.broker.name} keeps no order over night (GTC)")
        return "the venue takes stops, good till cancelled"

    def cancels(self) -> str:
        """The venue answers a cancel. One of an order that never was does nothing there."""
        token = self.desk.lease.token if self.desk.lease else 0
        try:
            self.desk.broker.cancel(f"leader-{token}")
        except OrderRefused as refusal:
            return f"the venue answers one: {refusal}"
        return "the venue takes one"

    def _is_approved(self, plan: TradePlan, book: RiskBook) -> bool:
        return decide(plan, self._setup(), book, self.desk.rules.risk).approved

    def _plan(self) -> TradePlan:
        """An order that makes sense: what is wrong with another is its own."""
        at, desk = self.times.opens_at, self.desk
        return TradePlan(
            plan_id=NAME, setup_id=NAME, snapshot_id=NAME, account=desk.account, strategy=desk.strategy,
            session=self.times.session, symbol=NAME, as_of=at, planned_at=at, entry=Decimal(50), stop=Decimal(48),
            target=Decimal(56), risk_per_share=Decimal(2), reward_risk=Decimal(3), multiplier=ONE, quantity=Decimal(10),
            size_bound_by="risk", entry_reason="a test", expires_at=at + timedelta(minutes=15),
        )  # fmt: skip

    def _setup(self) -> Setup:
        return Setup(
            setup_id=NAME, snapshot_id=NAME, symbol=NAME, session=self.times.session, as_of=self.times.opens_at,
            score=100.0, grade="A+", state="BottomActive", phase="Early", reward_risk=3.0, entry=50.0, stop=48.0,
            target=56.0, lowest_low=49.0, lower_band=48.0, atr=1.0, atr_mean=1.0, rank=1, selected=True,
        )  # fmt: skip

    def _book(self) -> RiskBook:
        """A friendly market and 100,000 USD: what is denied here is denied for its own sake."""
        at, money = self.times.opens_at, Decimal(100_000)
        return RiskBook(
            equity_usd=money, prior_close_equity_usd=money, cash_flows_today_usd=ZERO, buying_power_usd=money,
            exposures=(), entries_today=0, orders_today=0, orders_today_by_symbol={}, entries_today_by_symbol={},
            orders_this_execution=0, decided_setups=frozenset(), regime_score=75.0, regime_multiplier=ONE,
            regime_positions=8, only_a_plus=False, quote=Decimal(50), quoted_at=at, base_bar_minutes=0,
            snapshot_as_of=at, now=at, entries_open_at=at, entries_close_at=self.times.closes_at,
        )  # fmt: skip

    def _order(self, side: Side, kind: OrderType) -> Order:
        at = self.times.opens_at
        return Order(
            client_order_id=NAME, account=self.desk.account, strategy=self.desk.strategy, session=self.times.session,
            symbol=NAME, side=side, order_type=kind, leg=Leg.ENTRY if side is Side.BUY else Leg.STOP,
            quantity=ONE, time_in_force=TimeInForce.DAY, intent_id=None, created_at=at, updated_at=at,
        )  # fmt: skip
