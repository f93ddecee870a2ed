"""What TWS has said: every order, execution, commission and error, as the messages came, without conclusions.

The client library would keep books of its own: in them an error ends an order, and an order that has ended may work
again (ib_async issues 191 and 217). `ear` keeps these instead.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trading_pipeline.adapters.brokers.ib.codes import ENDS


@dataclass(slots=True, kw_only=True)
class Seen:
    """One order as TWS shows it. order, contract: the library's objects; status: TWS's word.

    completed_at, completed_text: as in the list of completed orders; empty while it is not in it.
    """

    perm_id: int
    order: Any
    contract: Any
    order_id: int = 0
    client_id: int = 0
    parent_id: int = 0
    parent_perm_id: int = 0
    status: str = ""
    filled: float = 0.0
    total: float = 0.0
    is_listed: bool = False
    is_completed: bool = False
    completed_at: str = ""
    completed_text: str = ""

    @property
    def is_open(self) -> bool:
        """True while TWS lists it as an order that may execute."""
        return self.is_listed and not self.is_completed

    @property
    def has_ended(self) -> bool:
        """Believed when the list of completed orders has it, or its status says so and the open ones lack it."""
        return self.is_completed or (self.status in ENDS and not self.is_listed)

    @property
    def key(self) -> tuple[int, int]:
        """Who placed it, under which id; ids may come again."""
        return (self.client_id, self.order_id)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error message about an order or a change of it."""

    code: int
    text: str


@dataclass(slots=True)
class Board:
    """All of it. Touched only from inside the library's thread."""

    orders: dict[int, Seen] = field(default_factory=dict)
    executions: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """execId → execution, contract"""
    commissions: dict[str, Any] = field(default_factory=dict)
    complaints: defaultdict[tuple[int, int], list[Complaint]] = field(default_factory=lambda: defaultdict(list))
    newest: dict[tuple[int, int], int] = field(default_factory=dict)
    """(client, order id) → permId of the newest order under it"""
    on_news: Callable[[], None] = lambda: None
    """Called when an order has another status, or an execution or commission was not known: lists repeat the rest."""
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _statuses: dict[int, tuple[str, float]] = field(default_factory=dict)

    def begin_listing(self) -> None:
        """A list of open orders is about to come."""
        for seen in self.orders.values():
            seen.is_listed = False

    def at(self, client_id: int, order_id: int) -> Seen | None:
        """The newest order under a client's id."""
        perm_id = self.newest.get((client_id, order_id))
        return None if perm_id is None else self.orders[perm_id]

    def forget(self, client_id: int, order_id: int) -> None:
        """The id is about to be used: what was said under it before is about something else."""
        self.newest.pop((client_id, order_id), None)
        self.complaints.pop((client_id, order_id), None)

    async def change(self) -> None:
        """Return at the next message."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def stir(self, *, is_news: bool = False) -> None:
        """Wake whoever waits for a change, and tell whoever wants news."""
        if is_news:
            self.on_news()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    # messages

    def open_order(self, order_id: int, contract: Any, order: Any, status: str) -> None:
        if not order.permId:
            return
        seen = self._seen(order.permId, contract, order)
        seen.order_id, seen.client_id = order_id, order.clientId
        seen.parent_id = order.parentId
        seen.total = order.totalQuantity or seen.total
        seen.is_listed = status not in ENDS
        self._set_status(seen, status)
        if order_id > 0:
            self.newest[seen.key] = seen.perm_id
        early = self._statuses.pop(seen.perm_id, None)
        if early is not None:
            self._set_status(seen, early[0])
            seen.filled = max(seen.filled, early[1])
        self.stir()

    def order_status(self, perm_id: int, status: str, filled: float) -> None:
        seen = self.orders.get(perm_id)
        if seen is None:
            self._statuses[perm_id] = (status, filled)
        else:
            self._set_status(seen, status)
            seen.filled = max(seen.filled, filled)
            seen.is_listed = seen.is_listed and status not in ENDS
        self.stir()

    def completed_order(self, contract: Any, order: Any, state: Any) -> None:
        known = self.orders.get(order.permId)
        seen = self._seen(order.permId, contract, known.order if known else order)
        seen.parent_perm_id = order.parentPermId
        if 0 < order.filledQuantity < 1e15:
            seen.filled = max(seen.filled, order.filledQuantity)
        seen.total = seen.total or order.totalQuantity or seen.filled
        seen.status, seen.is_completed = state.status, True
        seen.completed_at, seen.completed_text = state.completedTime, state.completedStatus
        self.stir()

    def execution(self, contract: Any, execution: Any) -> None:
        is_new = execution.execId not in self.executions
        self.executions[execution.execId] = (execution, contract)
        self.stir(is_news=is_new)

    def commission(self, report: Any) -> None:
        is_new = report.execId not in self.commissions
        self.commissions[report.execId] = report
        self.stir(is_news=is_new)

    def complain(self, client_id: int, order_id: int, code: int, text: str) -> None:
        self.complaints[client_id, order_id].append(Complaint(code, text))
        self.stir()

    def listed(self) -> Iterator[Seen]:
        """Orders that may still execute, by permId."""
        return (seen for _, seen in sorted(self.orders.items()) if seen.is_open)

    def _seen(self, perm_id: int, contract: Any, order: Any) -> Seen:
        seen = self.orders.get(perm_id)
        if seen is None:
            seen = self.orders[perm_id] = Seen(perm_id=perm_id, order=order, contract=contract)
        seen.order, seen.contract = order, contract
        return seen

    def _set_status(self, seen: Seen, status: str) -> None:
        """Messages come twice and out of order: a filled or completed order works no more."""
        if not seen.is_completed and seen.status not in {status, "Filled"}:
            seen.status = status
            self.on_news()


def ear(sdk: Any, ib: Any, board: Board) -> Any:
    """The library's receiver of messages, but orders and executions go to the board instead of its own books."""

    class Ear(sdk.wrapper.Wrapper):  # type: ignore[misc]  # the library has no types
        def openOrder(self, orderId: int, contract: Any, order: Any, orderState: Any) -> None:  # noqa: N802, N803
            board.open_order(orderId, contract, order, orderState.status)
            ib.client.updateReqId(orderId + 1)

        def orderStatus(self, _: int, status: str, filled: float, *others: Any) -> None:  # noqa: N802
            board.order_status(others[2], status, filled)

        def completedOrder(self, contract: Any, order: Any, orderState: Any) -> None:  # noqa: N802, N803
            board.completed_order(contract, order, orderState)

        def execDetails(self, _: int, contract: Any, execution: Any) -> None:  # noqa: N802
            board.execution(contract, execution)

        def commissionReport(self, commissionReport: Any) -> None:  # noqa: N802, N803
            board.commission(commissionReport)

    return Ear(ib)
