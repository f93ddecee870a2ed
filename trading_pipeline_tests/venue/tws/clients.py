"""The real TWS client library, whichever is installed, knocking at a door from a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from trading_pipeline.adapters.brokers.ib_client import IbThread, library_name
from trading_pipeline.venue.tws.contracts import Stock

WAIT_SECONDS = 10.0
ACCOUNT = "SIM"
FARMS = {2104, 2106, 2158}


class Address(Protocol):
    """Where to knock."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass
class Client:
    """One connection. `errors` and `fills` are what it heard; trades are the library's own, by order id."""

    doors: Address
    client_id: int
    thread: IbThread
    errors: list[tuple[int, int, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ib = self.run(self._made)

    async def _made(self) -> Any:
        ib = self.thread.sdk.IB()
        ib.errorEvent += lambda about, code, text, _: self.errors.append((about, code, text))
        ib.orderStatusEvent += lambda trade: self.told.append(
            f"{trade.order.orderId} {trade.orderStatus.status} {trade.orderStatus.filled:g}"
        )
        ib.execDetailsEvent += lambda trade, fill: self.told.append(
            f"{trade.order.orderId} fill {fill.execution.shares:g} at {fill.execution.price:g}"
        )
        ib.commissionReportEvent += lambda trade, _, report: self.told.append(
            f"{trade.order.orderId} cost {report.commission:g}"
        )
        return ib

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of something done in the client's thread."""

        async def done() -> Any:
            return await work()

        return self.thread.call(done(), WAIT_SECONDS)

    def do(self, work: Callable[[], Any]) -> Any:
        """The result of a plain call in the client's thread."""

        async def done() -> Any:
            return work()

        return self.thread.call(done(), WAIT_SECONDS)

    def connect(self, timeout: float = 5.0) -> Client:
        self.run(lambda: self.ib.connectAsync(self.doors.host, self.doors.port, self.client_id, timeout=timeout))
        return self

    def settle(self) -> None:
        """Wait until the door has answered all that was asked before."""
        self.run(self.ib.reqCurrentTimeAsync)

    async def ended(self) -> None:
        """Wait until the connection is gone."""
        while self.ib.isConnected():
            await asyncio.sleep(0.005)

    def stock(self, symbol: str = "AAA") -> Any:
        """A contract as it is once it has been looked up; ib_async streams no other."""
        return self.thread.sdk.Stock(symbol, "SMART", "USD", conId=Stock(symbol).con_id)

    def order(self, kind: str = "LMT", action: str = "BUY", quantity: float = 100, **words: Any) -> Any:
        """An order with an id, a life and an account, as all should be."""
        order_id = words.pop("orderId", 0) or self.do(self.ib.client.getReqId)
        usual = {"tif": "DAY", "account": ACCOUNT, "orderId": order_id}
        return self.thread.sdk.Order(
            **(usual | {"action": action, "totalQuantity": quantity, "orderType": kind} | words)
        )

    def bracket(self, *, entry: float = 100, stop: float = 95, target: float = 110, **words: Any) -> list[Any]:
        """Entry, stop and target, ids allotted first, transmitted by the last."""
        parent = self.order(lmtPrice=entry, transmit=False, orderRef="b-e", **words)
        sell = {"action": "SELL", "parentId": parent.orderId}
        return [
            parent,
            self.order("STP", auxPrice=stop, transmit=False, orderRef="b-s", **sell, **words),
            self.order("LMT", lmtPrice=target, transmit=True, orderRef="b-t", **sell, **words),
        ]

    def place(self, *orders: Any, symbol: str = "AAA") -> list[Any]:
        """Send orders in one go; returns their trades once the door has answered."""
        stock = self.stock(symbol)
        trades = self.do(lambda: [self.ib.placeOrder(stock, order) for order in orders])
        self.settle()
        return list(trades)

    def send(self, order: Any, symbol: str = "AAA") -> None:
        """Send an order below the library's own checks."""
        self.do(lambda: self.ib.client.placeOrder(order.orderId, self.stock(symbol), order))
        self.settle()

    def cancel(self, order: Any) -> None:
        self.do(lambda: self.ib.cancelOrder(order))
        self.settle()

    def open_ids(self) -> list[int]:
        """Order ids the door says are open, of every client."""
        return sorted(trade.order.orderId for trade in self.run(self.ib.reqAllOpenOrdersAsync))

    def codes(self) -> list[int]:
        """Codes of the errors heard, without the greetings."""
        return [code for _, code, _ in self.errors if code not in FARMS]


@contextmanager
def a_client(doors: Address, client_id: int = 1, *, connected: bool = True) -> Iterator[Client]:
    """A client that is gone afterwards."""
    thread = IbThread(f"client-{client_id}")
    client = Client(doors, client_id, thread)
    try:
        yield client.connect() if connected else client
    finally:
        client.do(client.ib.disconnect)
        thread.close()


def complaints(records: list[logging.LogRecord]) -> list[str]:
    """Warnings and errors the client library logged."""
    name = library_name()
    return [r.getMessage() for r in records if r.name.startswith(name) and r.levelno >= logging.WARNING]


def statuses(trades: list[Any]) -> list[str]:
    """What each stands at."""
    return [trade.orderStatus.status for trade in trades]
