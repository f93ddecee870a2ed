"""A broker whose answers get lost, late or mixed up by a script: for rehearsals in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.ports import Broker
from trading_pipeline.ports.forwarding import ForwardingBroker, Op
from trading_pipeline.venue.faults import NOT_DONE, Fault, FaultRule, Faults

T = TypeVar("T")
LOST = frozenset({Fault.DROP_REPLY, Fault.HTTP_504, Fault.DELAY})


class FaultyBroker(ForwardingBroker):
    """Implements Broker over another one. A delay is longer than anybody waits: done, and the answer lost.

    reject_later and halt need the venue's own door: here they change nothing.
    """

    def __init__(self, broker: Broker, faults: Faults) -> None:
        super().__init__(broker)
        self._faults = faults

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """Also doubled, mixed up or left out, as the script says."""

        def ask(rule: FaultRule | None) -> Sequence[ExecutionReport]:
            return self._faults.distorted(rule, self.broker.execution_reports(since))

        return self._meet("execution_reports", ask)

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:
        """Make the call as the script says."""
        return self._meet(op, lambda _: call(), client_order_id)

    def _meet(self, op: Op, ask: Callable[[FaultRule | None], T], client_order_id: str = "") -> T:
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
