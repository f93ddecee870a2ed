"""The ledger's section of orders, execution reports and fills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, bindparam, update

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_audit import StatusChange
from trading_pipeline.adapters.ledger_records import verify
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.adapters.ledger_statements import identities, in_lists, named
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import TERMINAL, ExecType, ExecutionReport, Fill, Order, OrdStatus

ORDERS = kinds.ORDERS.table
_ONE = ORDERS.c.client_order_id == bindparam("identity")

# Made once: building a statement costs more than sending it.
CLAIM = (
    update(ORDERS)
    .where(_ONE, ORDERS.c.claim_owner.is_(None), ORDERS.c.status == OrdStatus.PENDING_NEW)
    .values(claim_owner=bindparam("owner"), claim_fence=bindparam("fence"))
)
SAVE = update(ORDERS).where(_ONE).values({name: bindparam(f"new_{name}") for name in kinds.ORDER_STATE})
END = SAVE.values(is_working_entry=False)
STATUSES = {status.value: status for status in OrdStatus}
ENDED = frozenset(status.value for status in TERMINAL)
"""Terminal states, as they are stored."""

# A stored order is compared with its row, and sent, as it is: by the places of its fields.
SAVED = (*(f"new_{name}" for name in kinds.ORDER_STATE), "identity")
_PLACES = {name: place for place, name in enumerate(kinds.ORDERS.names)}
IDENTITY, CUM_QTY, STATUS = _PLACES["client_order_id"], _PLACES["cum_qty"], _PLACES["status"]
of_state = itemgetter(*(_PLACES[name] for name in (*kinds.ORDER_STATE, "client_order_id")))
unchanging = itemgetter(*(place for name, place in _PLACES.items() if name not in kinds.ORDERS.bookkeeping))
OF_ACCOUNT = (
    kinds.ORDERS.select()
    .where(ORDERS.c.account == bindparam("account"))
    .order_by(ORDERS.c.created_at, ORDERS.c.record_no)
)
OPEN = OF_ACCOUNT.where(*(ORDERS.c.status != status for status in sorted(TERMINAL)))
UNSENT = OF_ACCOUNT.where(ORDERS.c.status == OrdStatus.PENDING_NEW)
OF_SESSION = OF_ACCOUNT.where(ORDERS.c.session == bindparam("session"))
LEGS_OF = (
    kinds.ORDERS.select()
    .where(ORDERS.c.parent_id == bindparam("identity"))
    .order_by(ORDERS.c.created_at, ORDERS.c.record_no)
)
REPORTS = kinds.REPORTS.table.c
REPORTS_OF = (
    kinds.REPORTS.select()
    .where(REPORTS.client_order_id == bindparam("identity"))
    .order_by(REPORTS.occurred_at, REPORTS.record_no)
)


class OrderRows(Rows):
    """Orders, what was said about them, and what they filled."""

    def add_order(self, order: Order) -> bool:
        """Record an order; the second time what was asked must be the same, whatever became of it since."""
        return self._add(kinds.ORDERS, order)

    def order(self, client_order_id: str) -> Order | None:
        rows, stored = self._wire.rows_and_stored(kinds.ORDERS.select_one, {"identity": client_order_id})
        if not rows:
            return None
        self._known[client_order_id] = stored[0]
        return Order(**dict(zip(kinds.ORDERS.names, rows[0], strict=True)))

    def children(self, client_order_id: str) -> Sequence[Order]:
        """Legs whose parent the order is, by leg."""
        legs = kinds.ORDERS.found(self._wire, LEGS_OF, {"identity": client_order_id})
        return sorted(legs, key=lambda order: order.leg.value)

    def save_order(self, order: Order) -> None:
        """Store the order's new state; raises LedgerError when it was never added, or shares would be lost."""
        self.save_orders([order])

    def save_orders(self, orders: Sequence[Order]) -> None:
        """The same for each of these; of two states of one order the later stays."""
        self._require_writable()
        self._learn([order.client_order_id for order in orders])
        states = {order.client_order_id: self._checked(order) for order in orders}
        self._wire.change_all(SAVE, SAVED, [of_state(one) for one in states.values() if one[STATUS] not in ENDED])
        self._wire.change_all(END, SAVED, [of_state(one) for one in states.values() if one[STATUS] in ENDED])

    def _learn(self, client_order_ids: Sequence[str]) -> None:
        """Read those rows that were not read before in this transaction."""
        unknown = [name for name in client_order_ids if name not in self._known]
        for names in in_lists(unknown):
            for row in self._wire.answers(orders_of(len(names)), identities(len(names)), names):
                self._known[row[IDENTITY]] = row
        missing = [name for name in unknown if name not in self._known]
        if missing:
            raise LedgerError(f"order {missing[0]} was never added to the ledger: add_order comes first.")

    def _checked(self, order: Order) -> Sequence[Any]:
        """The order as it is stored, once it may follow what is on record; its change of status is told."""
        recorded, given = self._known[order.client_order_id], kinds.ORDERS.stored(order, self._wire.dialect)
        if given[CUM_QTY] < recorded[CUM_QTY]:
            self._require_taken_back(self._recorded(order), order)
        if unchanging(given) != unchanging(recorded):
            there, here = kinds.ORDERS.values(self._recorded(order)), kinds.ORDERS.values(order)
            verify(kinds.ORDERS, there, here, self._wire.dialect)
        self._known[order.client_order_id] = given
        if given[STATUS] != recorded[STATUS]:
            self._outbox.recorded(StatusChange(STATUSES[recorded[STATUS]], order))
        return given

    def claim_order(self, client_order_id: str, owner: str, fence: int) -> bool:
        """Compare-and-set: True for the one caller that may send; a claim is never given twice, not even to `owner`."""
        self._require_writable()
        return self._wire.change(CLAIM, ("identity", "owner", "fence"), (client_order_id, owner, fence)) == 1

    def unsent_orders(self, account: str) -> Sequence[Order]:
        """Orders PendingNew and not claimed, or claimed and never acknowledged, oldest first."""
        return kinds.ORDERS.found(self._wire, UNSENT, {"account": account})

    def open_orders(self, account: str) -> Sequence[Order]:
        """Orders the venue may still execute (in doubt and unsent ones included), oldest first."""
        return kinds.ORDERS.found(self._wire, OPEN, {"account": account})

    def orders(self, account: str, session: date) -> Sequence[Order]:
        return kinds.ORDERS.found(self._wire, OF_SESSION, {"account": account, "session": session})

    def add_report(self, broker: str, report: ExecutionReport) -> bool:
        return self._add(kinds.REPORTS, report, broker)

    def reports(self, client_order_id: str) -> Sequence[ExecutionReport]:
        """What was said about one order, oldest first."""
        return kinds.REPORTS.found(self._wire, REPORTS_OF, {"identity": client_order_id})

    def add_fill(self, fill: Fill) -> bool:
        return self._add(kinds.FILLS, fill)

    def fills(self, account: str, *, session: date | None = None, symbol: str | None = None) -> Sequence[Fill]:
        """Fills in order of execution."""
        order = kinds.FILLS.table.c.executed_at, kinds.FILLS.table.c.record_no
        return self._equal(kinds.FILLS, order, account=account, session=session, symbol=symbol)

    def _require_taken_back(self, recorded: Order, order: Order) -> None:
        reported, taken_back = filled_by(self.reports(order.client_order_id))
        if recorded.cum_qty - order.cum_qty > taken_back or order.cum_qty < reported:
            raise LedgerError(
                f"order {order.client_order_id} has {recorded.cum_qty} shares filled on record and {order.cum_qty} "
                f"in the state to be stored, and reports took back {taken_back}: filled shares never go away by "
                "themselves. Read the order again and apply the reports."
            )

    def _recorded(self, order: Order) -> Order:
        recorded = self.order(order.client_order_id)
        assert recorded is not None
        return recorded


@cache
def orders_of(count: int) -> Select[Any]:
    """A query of so many orders by id."""
    return kinds.ORDERS.select().where(named(ORDERS.c.client_order_id, count))


def filled_by(reports: Iterable[ExecutionReport]) -> tuple[Decimal, Decimal]:
    """Shares filled by the trades as they stand after busts and corrections, and shares those took back."""
    standing: dict[str, Decimal] = {}
    trade_of: dict[str, str] = {}  # a correction may itself be corrected
    taken_back = ZERO
    for report in sorted(reports, key=lambda one: one.exec_type is not ExecType.TRADE):  # trades first, else in order
        trade = trade_of.get(report.ref_exec_id, report.ref_exec_id)
        if report.exec_type is ExecType.TRADE:
            standing[report.exec_id] = report.last_qty
        elif report.exec_type is ExecType.TRADE_CANCEL:
            taken_back += report.last_qty
            standing[trade] = standing.get(trade, ZERO) - report.last_qty
        elif report.exec_type is ExecType.TRADE_CORRECT:
            trade_of[report.exec_id] = trade
            taken_back += max(standing.get(trade, ZERO) - report.last_qty, ZERO)
            standing[trade] = report.last_qty
    return sum(standing.values(), ZERO), taken_back
