"""What became of an execution, counted from the record: orders submitted, filled, rejected, denied, skipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Leg, Order, OrdStatus, Side
from trading_pipeline.domain.planning import plan_id
from trading_pipeline.domain.risk import RiskDecision, Verdict
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.targets import Move, Target
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import leg_id
from trading_pipeline.services.rebalance import Execution, desk_of, is_over, read_execution

NEVER_SENT = frozenset({OrdStatus.PENDING_NEW, OrdStatus.DENIED})
UNTOUCHED = {Move.HOLD: "hold", Move.SKIPPED: "skipped", Move.REFUSED: "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """One signal: where its position was, where it was to go, and how far it came. Shares are whole.

    status: hold, skipped, refused, waiting, denied, unsent, working, filled, partly filled, rejected, ended.
    """

    symbol: str
    strength: float
    held: Decimal
    target: Decimal
    change: Decimal
    phase: str
    status: str
    reason: str
    order: str = ""
    filled: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSummary:
    """One execution: how many orders were submitted, filled and rejected, and what came of every signal.

    holding: positions matched their targets already, and there was no order to make. left_out: rows that held and are
    only counted. is_over: nothing more will be decided; orders may still be working.
    """

    snapshot_id: str
    source: str
    as_of: datetime
    is_over: bool
    holding: bool
    orders_submitted: int
    orders_filled: int
    rejected: int
    denied: int
    skipped: int
    refused: int
    left_out: int
    rows: tuple[ExecutionRow, ...]


def summary_of(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> ExecutionSummary:
    """What is on record of an execution; raises MissingResultError when it was not begun."""
    desk = desk_of(desk, snapshot)
    execution = read_execution(desk, tx, snapshot)
    if execution is None:
        raise MissingResultError(
            f"signals {snapshot.snapshot_id} of {snapshot.session} have not been executed: the session loop does it. "
            f"Run it: trading-pipeline session replay --session {snapshot.session}"
        )
    reader = _Reader(desk, tx, execution, {setup.symbol: setup for setup in tx.setups(snapshot.snapshot_id)})
    found = [reader.row(target) for target in execution.targets]
    orders = [order for _, order in found if order is not None]
    rows = tuple(row for row, _ in found)
    return ExecutionSummary(
        snapshot_id=snapshot.snapshot_id, source=snapshot.source, as_of=snapshot.as_of,
        is_over=is_over(desk, tx, snapshot),
        holding=not execution.of(Move.SELL) and not execution.of(Move.BUY),
        orders_submitted=sum(_was_sent(order) for order in orders),
        orders_filled=sum(row.status == "filled" for row in rows),
        rejected=sum(row.status == "rejected" for row in rows),
        denied=sum(row.status == "denied" for row in rows),
        skipped=sum(row.status == "skipped" for row in rows),
        refused=sum(row.status == "refused" for row in rows),
        left_out=int(execution.event.data["left_out"]), rows=rows,
    )  # fmt: skip


def _was_sent(order: Order) -> bool:
    return order.status not in NEVER_SENT


@dataclass(frozen=True)
class _Reader:
    """Follows one target to its order."""

    desk: Desk
    tx: LedgerTransaction
    execution: Execution
    setups: dict[str, Setup]

    def row(self, target: Target) -> tuple[ExecutionRow, Order | None]:
        """The row and its order, where it came to one."""
        match target.move:
            case Move.SELL:
                order = self._sale(target)
                status, reason = (_status(order), target.reason) if order else ("waiting", target.reason)
            case Move.BUY:
                order = self.tx.order(leg_id(self.desk, self.setups[target.symbol], Leg.ENTRY))
                status, reason = (_status(order), target.reason) if order else self._not_bought(target)
            case _:
                order, status, reason = None, UNTOUCHED[target.move], target.reason
        return _row(target, order, status, reason), order

    def _sale(self, target: Target) -> Order | None:
        """The last sell that took shares out, or is to, since the execution began; a stop only once it has sold."""
        began = self.execution.event.occurred_at
        orders = self.tx.orders(self.desk.account, self.execution.event.session)
        sells = [o for o in orders if o.symbol == target.symbol and o.side is Side.SELL and o.updated_at >= began]
        own = [o for o in sells if o.leg is Leg.EXIT and o.created_at >= began]
        legs = [o for o in sells if o.leg in {Leg.TARGET, Leg.STOP} and o.cum_qty]
        found = sorted([*legs, *own], key=lambda order: (order.cum_qty, order.created_at))
        return found[-1] if found else None

    def _not_bought(self, target: Target) -> tuple[str, str]:
        setup = self.setups[target.symbol]
        wanted = plan_id(self.desk.account, self.desk.strategy, setup.snapshot_id, setup.symbol)
        decisions = self.tx.decisions(self.desk.account, setup.session)
        decision = next((one for one in decisions if one.plan_id == wanted), None)
        if decision is not None:
            return "denied", _denials(decision)
        for event in self.tx.risk_events(self.desk.account, setup.session):
            if event.kind == "plan_refused" and event.data["setup_id"] == setup.setup_id:
                return "denied", event.message
        return "waiting", target.reason


def _denials(decision: RiskDecision) -> str:
    found = (f for f in decision.findings if f.verdict is Verdict.DENIAL)
    return "; ".join(f"{f.code.value}: {f.measured} against {f.limit_name} {f.limit}" for f in found)


def _status(order: Order) -> str:
    if order.status is OrdStatus.FILLED:
        return "filled"
    if order.status is OrdStatus.REJECTED:
        return "rejected"
    if order.status in NEVER_SENT:
        return "unsent"
    if order.is_open:
        return "working"
    return "partly filled" if order.cum_qty else "ended"


def _row(target: Target, order: Order | None, status: str, reason: str) -> ExecutionRow:
    return ExecutionRow(
        symbol=target.symbol, strength=target.strength, held=target.held, target=target.target, change=target.change,
        phase=target.move.value if target.change else "", status=status, reason=reason,
        order=order.client_order_id if order else "", filled=order.cum_qty if order else ZERO,
    )  # fmt: skip
