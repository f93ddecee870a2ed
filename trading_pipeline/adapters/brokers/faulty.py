"""A broker whose answers get lost, late or mixed up by a script: for rehearsals in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Broker, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.faults import NOT_DONE, Fault, FaultRule, Faults

T = TypeVar("T")
LOST = frozenset({Fault.DROP_REPLY, Fault.HTTP_504, Fault.DELAY})


class FaultyBroker:
    """Implements Broker over another one. A delay is longer than anybody waits: done, and the answer lost.

    reject_later and halt need the venue's own door: here they change nothing.
    """

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker, self._faults = broker, faults
        self.name = broker.name

    @property
    def capabilities(self) -> VenueCapabilities:
        return self._broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        name = orders_of(request)[0].client_order_id
        return self._meet("submit", lambda _: self._broker.submit(request), name)

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        def ask(_: FaultRule | None) -> None:
            self._broker.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

        self._meet("replace", ask, client_order_id)

    def cancel(self, client_order_id: str) -> None:
        self._meet("cancel", lambda _: self._broker.cancel(client_order_id), client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self._meet("order", lambda _: self._broker.order(client_order_id), client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        return self._meet("open_orders", lambda _: self._broker.open_orders())

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        def ask(rule: FaultRule | None) -> Sequence[ExecutionReport]:
            return self._faults.distorted(rule, self._broker.execution_reports(since))

        return self._meet("execution_reports", ask)

    def positions(self) -> Sequence[VenuePosition]:
        return self._meet("positions", lambda _: self._broker.positions())

    def account(self) -> VenueAccount:
        return self._meet("account", lambda _: self._broker.account())

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self._meet("cash_activities", lambda _: self._broker.cash_activities(since))

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self._broker.never_left(client_order_id, created_at)

    def _meet(self, op: str, ask: Callable[[FaultRule | None], T], client_order_id: str = "") -> T:
        rule = self._faults.next(op, client_order_id)
        if rule is not None and rule.fault is Fault.REJECT:
            raise OrderRefused(f"{op} {client_order_id}: rejected by script")
        if rule is not None and rule.fault in NOT_DONE:
            raise OutcomeUnknown(f"{op} {client_order_id}: no answer ({rule.fault})")
        try:
            return ask(rule)
        finally:
            if rule is not None and rule.fault in LOST:
                raise OutcomeUnknown(f"{op} {client_order_id}: no answer ({rule.fault})")
