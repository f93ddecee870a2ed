"""The last thing an order passes before the venue: what may never get past it is caught here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.orders import AnyRequest, ExecutionReport, Side
from trading_pipeline.ports import Broker, Ledger
from trading_pipeline.ports.forwarding import ForwardingBroker
from trading_pipeline.services.trading_state import current_state
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.engine import SimulatedVenue


class LawBroken(AssertionError):
    """What must hold does not."""


def require(holds: bool, message: str) -> None:
    """Raise LawBroken unless it holds."""
    if not holds:
        raise LawBroken(message)


class Socket(ForwardingBroker):
    """Implements Broker over the venue's door, and looks at all that leaves. late: reports held back until then."""

    def __init__(self, broker: Broker, ledger: Ledger, venue: SimulatedVenue) -> None:
        super().__init__(broker)
        self._ledger, self._venue = ledger, venue
        self.sent: dict[str, AnyRequest] = {}
        self.held_back: frozenset[str] = frozenset()
        """exec_ids of reports that are on their way for longer than others."""

    def submit(self, request: AnyRequest) -> str:
        self._look_at(request)
        self.sent[orders_of(request)[0].client_order_id] = request
        return super().submit(request)

    def _look_at(self, request: AnyRequest) -> None:
        first = orders_of(request)[0]
        name = first.client_order_id
        with self._ledger.read() as tx:
            order, state = tx.order(name), current_state(tx, "A")
            intent = tx.intent(order.intent_id) if order is not None and order.intent_id else None
        require(order is not None, f"{name} left and is not on record")
        assert order is not None
        require(order.submitted_at is not None, f"{name} left unclaimed")
        require(order.is_open, f"{name} left although it is {order.status}")
        known = self.sent.get(name)
        require(known is None or known == request, f"{name} left twice with other content: {known} and {request}")
        if first.side is Side.BUY:
            require(state.allows_entries, f"{name} left while trading is {state}")
            require(intent is not None, f"{name} left without an intent")
            assert intent is not None
            require(first.quantity <= intent.quantity, f"{name}: {first.quantity} left, {intent.quantity} were decided")

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        if stop_price is not None:
            self._look_at_stop(client_order_id, stop_price)
        super().replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

    def _look_at_stop(self, name: str, stop_price: Decimal) -> None:
        working = self._venue.order(name)
        assert working is not None, f"{name} is to be replaced and the venue does not know it"
        before = working.stop_price
        require(before is None or stop_price >= before, f"the stop {name} is lowered from {before} to {stop_price}")
        last = self._venue._state.marks[working.symbol].price
        require(stop_price < last, f"the stop {name} is raised to {stop_price}, the market is at {last}")

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        reports = super().execution_reports(since)
        return [one for one in reports if one.exec_id not in self.held_back] if self.held_back else reports
