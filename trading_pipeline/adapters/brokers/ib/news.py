"""What is new on the board since it was last told, as execution reports. Fills come from executions only.

exec_ids repeat themselves: an execution's own, or the permId and what happened to the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from trading_pipeline.adapters.brokers.ib.board import Board, Seen
from trading_pipeline.adapters.brokers.ib.codes import TAKEN
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.shapes import (
    Terms,
    amount,
    instant_of,
    order_type_of,
    terms_of,
    terms_of_request,
)
from trading_pipeline.adapters.brokers.ib.told import ToldReports
from trading_pipeline.adapters.brokers.ib_client import NEW_YORK
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderType, TimeInForce

CLOSE = time(16)
EARLIEST_CLOSE = time(13)
FEE = ".fee"
"""Ends the exec_id of the report that brings a commission which came after its trade was told."""
WORKS = frozenset({"PreSubmitted", "Submitted"})
_ENDS = {"Cancelled": ExecType.CANCELED, "ApiCancelled": ExecType.CANCELED, "Inactive": ExecType.REJECTED}


@dataclass(frozen=True, slots=True)
class News:
    """Finds what is new. `account`: executions and orders of others are passed over; empty: all are taken."""

    board: Board
    names: Names
    ids: VenueIds
    told: ToldReports
    account: str

    def found(self, now: datetime) -> Sequence[ExecutionReport]:
        """Everything new, orders by permId, each order's reports as they happened; the caller keeps them."""
        seen = [one for _, one in sorted(self.board.orders.items()) if self._is_ours(one.order.account)]
        begun = [report for one in seen for report in (*self._begun(one, now), *self._idle(one, now))]
        traded = list(self._traded(now))
        ended = [report for one in seen for report in self._ended(one, now)]
        return (*begun, *traded, *ended)

    def without_commission(self, now: datetime) -> frozenset[str]:
        """execIds about to be told of which the commission is not known yet."""
        new = {report.exec_id for report in self._traded(now) if report.exec_type is not ExecType.TRADE_CANCEL}
        return frozenset(new & self.board.executions.keys()) - self.board.commissions.keys()

    def _is_ours(self, account: str) -> bool:
        return not self.account or account in {"", self.account}

    # taken and changed

    def _begun(self, seen: Seen, now: datetime) -> Iterator[ExecutionReport]:
        name = self.names.of(seen)
        family = self.ids.family(name)
        request = family.member(name) if family else None
        if family is None or request is None or self.told.refusal(name) is not None:
            return
        if not (seen.status in TAKEN or seen.filled or (seen.has_ended and seen.status != "Inactive")):
            return
        if self.told.report(f"{seen.perm_id}-new") is None:
            yield _report(seen, name, f"{seen.perm_id}-new", ExecType.NEW, family.registered_at)
        if seen.is_open:
            yield from self._changed(seen, name, terms_of_request(request), now)

    def _idle(self, seen: Seen, now: datetime) -> Iterator[ExecutionReport]:
        """TWS holds the order and does not work it (Inactive), or works it again: any number of times."""
        name = self.names.of(seen)
        if self.ids.family(name) is None or self.told.refusal(name) is not None or not seen.is_open:
            return
        said = self.told.of(name)
        holds = [one for one in said if one.exec_id.startswith(f"{seen.perm_id}-held-")]
        is_held = len(holds) > sum(one.exec_id.startswith(f"{seen.perm_id}-works-") for one in said)
        if seen.status == "Inactive" and not is_held:
            text = self._complaint(seen) or "Interactive Brokers holds it (Inactive): it does not work"
            exec_id = f"{seen.perm_id}-held-{len(holds) + 1}"
            yield _report(seen, name, exec_id, ExecType.DONE_FOR_DAY, now, text=text)
        elif seen.status in WORKS and is_held:
            at = max(now, holds[-1].occurred_at + timedelta(microseconds=1))
            yield _report(seen, name, f"{seen.perm_id}-works-{len(holds)}", ExecType.NEW, at)

    def _changed(self, seen: Seen, name: str, asked: Terms, now: datetime) -> Iterator[ExecutionReport]:
        """Terms TWS shows that were never told: changed by us, by a person in TWS, or by the fill of an OCA partner."""
        changes = [report for report in self.told.of(name) if report.exec_type is ExecType.REPLACED]
        known = asked
        for change in changes:
            known = known.changed(change.quantity, change.limit_price, change.stop_price)
        shown = terms_of(seen.order, seen.total)
        if order_type_of(seen.order) is OrderType.TRAILING_STOP:
            shown = replace(shown, stop_price=known.stop_price)  # it moves by itself
        if shown == known or not shown.quantity:
            return
        number_ = 1 + sum(change.venue_order_id == str(seen.perm_id) for change in changes)
        yield _report(
            seen, name, f"{seen.perm_id}-replaced-{number_}", ExecType.REPLACED, now, limit_price=shown.limit_price,
            stop_price=shown.stop_price, quantity=shown.quantity if shown.quantity != known.quantity else None,
        )  # fmt: skip

    # executions

    def _traded(self, now: datetime) -> Iterator[ExecutionReport]:
        heads = self._heads()
        for exec_id, (execution, _) in sorted(self.board.executions.items(), key=_version):
            if not self._is_ours(execution.acctNumber):
                continue
            if self.told.report(exec_id) is None:
                report = self._trade(execution, heads.get(_root(exec_id)))
                if report is None:
                    continue
                heads[_root(exec_id)] = report
                yield report
            yield from self._late_commission(exec_id, heads, now)

    def _heads(self) -> dict[str, ExecutionReport]:
        """By root of the execId: the newest of what was told of an execution and its corrections."""
        heads: dict[str, ExecutionReport] = {}
        for exec_id in sorted(self.board.executions, key=_version_of):
            root = _root(exec_id)
            earlier = (f"{root}.{number_:02d}" for number_ in range(1, _version_of(exec_id)))
            for one in (*earlier, exec_id):  # TWS may list only the newest version
                told = self.told.report(one + FEE) or self.told.report(one)
                if told is not None:
                    heads[root] = told
        return heads

    def _trade(self, execution: Any, before: ExecutionReport | None) -> ExecutionReport | None:
        """An execution first heard of, or what corrects one; no shares, or no price, take it back."""
        shares, price = amount(execution.shares), amount(execution.price)
        name = self.names.name(execution.permId, execution.orderRef, (execution.clientId, execution.orderId))
        common = {
            "exec_id": execution.execId, "client_order_id": name, "venue_order_id": str(execution.permId),
            "ref_exec_id": before.exec_id if before else "",
        }  # fmt: skip
        at = execution.time.astimezone(UTC)
        if before is None:
            if not shares or not price:
                return None
            return ExecutionReport(
                **common, exec_type=ExecType.TRADE, occurred_at=at, last_qty=shares, last_px=price,
                commission=self._commission(execution.execId),
            )  # fmt: skip
        if _version_of(execution.execId) <= _version_of(before.exec_id):
            return None
        if not shares or not price:
            return ExecutionReport(
                **common, exec_type=ExecType.TRADE_CANCEL, occurred_at=max(at, before.occurred_at),
                last_qty=before.last_qty, last_px=before.last_px,
            )  # fmt: skip
        return ExecutionReport(
            **common, exec_type=ExecType.TRADE_CORRECT, occurred_at=max(at, before.occurred_at), last_qty=shares,
            last_px=price, commission=self._commission(execution.execId) or before.commission,
        )  # fmt: skip

    def _late_commission(
        self, exec_id: str, heads: dict[str, ExecutionReport], now: datetime
    ) -> Iterator[ExecutionReport]:
        head, commission = heads.get(_root(exec_id)), self._commission(exec_id)
        if head is None or head.exec_id != exec_id or head.exec_type is ExecType.TRADE_CANCEL or head.commission:
            return
        if commission:
            heads[_root(exec_id)] = ExecutionReport(
                exec_id=exec_id + FEE, client_order_id=head.client_order_id, venue_order_id=head.venue_order_id,
                exec_type=ExecType.TRADE_CORRECT, occurred_at=max(now, head.occurred_at), last_qty=head.last_qty,
                last_px=head.last_px, commission=commission, ref_exec_id=exec_id, text="its commission came later",
            )  # fmt: skip
            yield heads[_root(exec_id)]

    def _commission(self, exec_id: str) -> Decimal:
        report = self.board.commissions.get(exec_id)
        return ZERO if report is None else amount(report.commission)

    # ends

    def _ended(self, seen: Seen, now: datetime) -> Iterator[ExecutionReport]:
        name = self.names.of(seen)
        kind = _ENDS.get(seen.status)
        if kind is None or not seen.has_ended or self.told.refusal(name) is not None:
            return
        exec_id = f"{seen.perm_id}-ended"
        if self.told.report(exec_id) is None:
            at = instant_of(seen.completed_at) or now
            if kind is ExecType.REJECTED and seen.filled:
                kind = ExecType.CANCELED
            kind = ExecType.EXPIRED if kind is ExecType.CANCELED and expired(seen, at) else kind
            yield _report(seen, name, exec_id, kind, at, text=seen.completed_text or self._complaint(seen))

    def _complaint(self, seen: Seen) -> str:
        said = self.board.complaints.get(seen.key, ())
        return said[-1].text if said else ""


def expired(seen: Seen, at: datetime) -> bool:
    """True when a day order was ended by the close: TWS calls that Cancelled too."""
    if seen.order.tif == TimeInForce.GTC.value or "by trader" in seen.completed_text.lower():
        return False
    words = seen.completed_text.lower()
    local = at.astimezone(ZoneInfo(NEW_YORK)).time()
    return local >= CLOSE or (local >= EARLIEST_CLOSE and ("expire" in words or "closed" in words))


def _report(
    seen: Seen, name: str, exec_id: str, kind: ExecType, at: datetime, *, text: str = "",
    limit_price: Decimal | None = None, stop_price: Decimal | None = None, quantity: Decimal | None = None,
) -> ExecutionReport:  # fmt: skip
    return ExecutionReport(
        exec_id=exec_id, client_order_id=name, venue_order_id=str(seen.perm_id), exec_type=kind, occurred_at=at,
        text=text, limit_price=limit_price, stop_price=stop_price, quantity=quantity,
    )  # fmt: skip


def _root(exec_id: str) -> str:
    """An execId without its last part, which numbers its corrections: 0000e0d5.6560.01.01 → .02."""
    return exec_id.removesuffix(FEE).rpartition(".")[0]


def _version_of(exec_id: str) -> int:
    last = exec_id.removesuffix(FEE).rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def _version(item: tuple[str, tuple[Any, Any]]) -> tuple[datetime, int, str]:
    execution = item[1][0]
    return (execution.time, _version_of(item[0]), item[0])
