"""The ledger's section of what a round of sending asks and writes: many orders in few statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_orders import OF_ACCOUNT, ORDERS, OrderRows, orders_of
from trading_pipeline.adapters.ledger_records import insert_or_verify_all
from trading_pipeline.adapters.ledger_statements import Values, identified, identities, in_lists, named
from trading_pipeline.domain.control import Block, TradingState
from trading_pipeline.domain.orders import ExecutionReport, Order, OrdStatus, Side
from trading_pipeline.domain.submission import LastLook

BLOCKS, STATES = kinds.BLOCKS.table, kinds.STATES.table

# Made once: building a statement costs more than sending it.
DUE = OF_ACCOUNT.where(
    or_(ORDERS.c.status == OrdStatus.PENDING_NEW, ORDERS.c.status == OrdStatus.IN_DOUBT), ORDERS.c.parent_id.is_(None)
)
ENTRIES_LEFT = (
    select(ORDERS.c.symbol, func.count())
    .where(
        ORDERS.c.account == bindparam("account"),
        ORDERS.c.session == bindparam("session"),
        ORDERS.c.side == Side.BUY,
        ORDERS.c.parent_id.is_(None),
        ORDERS.c.submitted_at.is_not(None),
    )
    .group_by(ORDERS.c.symbol)
    .order_by(ORDERS.c.symbol)
)
_IN_FORCE = and_(
    BLOCKS.c.account == ORDERS.c.account,
    BLOCKS.c.cleared_at.is_(None),
    or_(BLOCKS.c.symbol == ORDERS.c.symbol, BLOCKS.c.symbol == ""),
)
LAST_LOOK = (
    select(ORDERS.c.status, STATES.c.state, *(BLOCKS.c[name] for name in kinds.BLOCKS.names))
    .select_from(ORDERS.outerjoin(STATES, STATES.c.account == ORDERS.c.account).outerjoin(BLOCKS, _IN_FORCE))
    .where(ORDERS.c.client_order_id == bindparam("identity"))
    .order_by(BLOCKS.c.since, BLOCKS.c.record_no)
)


class RoundRows(OrderRows):
    """Orders by the round: asked for, claimed, reported on and saved together."""

    def claim_orders(self, leaving: Mapping[str, datetime], owner: str, fence: int) -> frozenset[str]:
        """Compare-and-set, each for itself: those that the caller may send. Each keeps its instant as submitted_at."""
        self._require_writable()
        claimed = list[str]()
        for names in in_lists(list(leaving)):
            claim, given = claim_of(len(names))
            values = (owner, fence, *names, *[leaving[name] for name in names])
            claimed += [name for (name,) in self._wire.answers(claim, given, values)]
        for name in claimed:
            self._known.pop(name, None)
        return frozenset(claimed)

    def orders_named(self, client_order_ids: Sequence[str]) -> Mapping[str, Order]:
        """Those of these orders that are on record, by id, in the order they were asked for."""
        found = dict[str, Order]()
        for names in in_lists(client_order_ids):
            rows, stored = self._wire.rows_and_stored(orders_of(len(names)), identified(names))
            for row, as_stored in zip(rows, stored, strict=True):
                order = Order(**dict(zip(kinds.ORDERS.names, row, strict=True)))
                found[order.client_order_id] = order
                self._known[order.client_order_id] = as_stored
        return {name: found[name] for name in client_order_ids if name in found}

    def children_of(self, client_order_ids: Sequence[str]) -> Mapping[str, Sequence[Order]]:
        """The children of each of these orders, by leg."""
        legs = [
            leg
            for names in in_lists(client_order_ids)
            for leg in kinds.ORDERS.found(self._wire, legs_of(len(names)), identified(names))
        ]
        by_parent = dict[str, list[Order]]((name, []) for name in client_order_ids)
        for leg in sorted(legs, key=lambda order: order.leg.value):
            by_parent[leg.parent_id or ""].append(leg)
        return by_parent

    def add_reports(self, broker: str, reports: Sequence[ExecutionReport]) -> Sequence[bool]:
        self._require_writable()
        return insert_or_verify_all(self._wire, kinds.REPORTS, reports, (broker,))

    def last_look(self, client_order_id: str) -> LastLook | None:
        """What decides whether an order may leave now, as it stood at one instant; None: never added."""
        rows = self._wire.rows(LAST_LOOK, {"identity": client_order_id})
        if not rows:
            return None
        status, state = rows[0][:2]
        return LastLook(status, state or TradingState.ACTIVE, _blocks(row[2:] for row in rows))

    def due_orders(self, account: str) -> Sequence[Order]:
        """Orders PendingNew or InDoubt that hang on no other order, oldest first."""
        return kinds.ORDERS.found(self._wire, DUE, {"account": account})

    def entries_left(self, account: str, session: date) -> Mapping[str, int]:
        """How many entries of the session have left, by symbol."""
        return dict(self._wire.rows(ENTRIES_LEFT, {"account": account, "session": session}))


def _blocks(rows: Iterable[Sequence[Any]]) -> list[Block]:
    """The joined blocks; where there is none, their columns are empty."""
    return [Block(**dict(zip(kinds.BLOCKS.names, row, strict=True))) for row in rows if row[0] is not None]


@cache
def claim_of(count: int) -> tuple[ReturningUpdate[Any], Sequence[str]]:
    """A claim of so many orders, each for itself, and its parameters; it returns the ids of those that it got."""
    free = (ORDERS.c.claim_owner.is_(None), ORDERS.c.status == OrdStatus.PENDING_NEW)
    name, at = ORDERS.c.client_order_id, ORDERS.c.submitted_at.type
    times = [f"at_{number}" for number in range(count)]
    instants = [
        (name == bindparam(one, type_=name.type), bindparam(instant, type_=at))
        for one, instant in zip(identities(count), times, strict=True)
    ]
    claimed: Values = {
        "claim_owner": bindparam("owner"), "claim_fence": bindparam("fence"), "submitted_at": case(*instants),
    }  # fmt: skip
    claim = update(ORDERS).where(named(name, count), *free).values(claimed).returning(name)
    return claim, ("owner", "fence", *identities(count), *times)


@cache
def legs_of(count: int) -> Select[Any]:
    """A query of the children of so many orders."""
    wanted = kinds.ORDERS.select().where(named(ORDERS.c.parent_id, count))
    return wanted.order_by(ORDERS.c.created_at, ORDERS.c.record_no)
