"""/v2/account/activities: what moved shares and cash, by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.routing import Route

from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.venue.alpaca.context import Asked, DoorContext, Reply
from trading_pipeline.venue.alpaca.model import FILLED, Execution
from trading_pipeline.venue.alpaca.orders import Orders
from trading_pipeline.venue.alpaca.requests import (
    instant,
    is_ascending,
    unprocessable,
    whole_number,
)
from trading_pipeline.venue.alpaca.wire import EPOCH, NEW_YORK, Nanos, instant_of, nanos, stamp, uuid_of

LARGEST_PAGE = 100
DAY_NANOS = timedelta(days=1) // timedelta(microseconds=1) * 1000
FILL = "FILL"
_KINDS = {  # type, sub-type; the API's list has no word for cash in lieu of shares
    CashKind.DEPOSIT: ("CSD", None),
    CashKind.WITHDRAWAL: ("CSW", None),
    CashKind.DIVIDEND: ("DIV", "CDIV"),
    CashKind.INTEREST: ("INT", "CDT"),
    CashKind.FEE: ("FEE", "REG"),
    CashKind.CASH_IN_LIEU: ("SPLIT", None),
    CashKind.ADJUSTMENT: ("JNLC", None),
}
_GROUPS = {"TRANS": {"CSD", "CSW"}}


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry: `at` orders and filters, `kind` selects, `tell` renders."""

    id: str
    at: Nanos
    kind: str
    tell: Callable[[], dict[str, Any]]


class ActivityRoutes:
    """Fills as they were executed, commission as fees of their own, and the engine's cash activities."""

    def __init__(self, context: DoorContext, orders: Orders) -> None:
        self._context, self._orders, self._venue = context, orders, context.hub.venue
        self._fills: list[Activity] = []
        self._told = 0

    def routes(self) -> list[Route]:
        route = self._context.route
        return [
            route("/v2/account/activities", "activities", self.listed),
            route("/v2/account/activities/{kind}", "activities", self.listed),
        ]

    def listed(self, asked: Asked) -> Reply:
        """Newest first unless asked otherwise. page_token: the id of the last entry of the page before."""
        size = whole_number(asked.query, "page_size", LARGEST_PAGE, LARGEST_PAGE)
        is_wanted = _choice(asked)
        chosen = [one for one in self._all() if is_wanted(one)]
        if not is_ascending(asked.query):
            chosen.reverse()
        token = asked.query.get("page_token")
        if token:
            chosen = chosen[_position(chosen, token) + 1 :]
        return Reply([one.tell() for one in chosen[:size]])

    def _all(self) -> list[Activity]:
        """By time."""
        for execution in self._orders.executions[self._told :]:
            self._fills += self._of_fill(execution)
        self._told = len(self._orders.executions)
        cash = [self._of_cash(number, moved) for number, moved in enumerate(self._venue.cash_activities(EPOCH))]
        return sorted((*self._fills, *cash), key=lambda one: (one.at, one.id))

    def _of_fill(self, done: Execution) -> list[Activity]:
        fill_id = activity_id(done.at, self._orders.execution_id(done))
        fill = Activity(fill_id, done.at, FILL, lambda: _fill(fill_id, done))
        if not done.commission:
            return [fill]
        fee_id = activity_id(done.at, uuid_of(self._venue.rules.account, "commission", done.exec_id))
        return [fill, Activity(fee_id, done.at, "FEE", lambda: _fee(fee_id, done))]

    def _of_cash(self, number: int, moved: CashActivity) -> Activity:
        at, kind = nanos(moved.occurred_at, number), _KINDS[moved.kind][0]
        cash_id = activity_id(at, uuid_of(moved.account, "cash", moved.activity_id))
        return Activity(cash_id, at, kind, lambda: _cash(cash_id, at, moved))


def _choice(asked: Asked) -> Callable[[Activity], bool]:
    """What a query lets through."""
    after, until, day = (instant(asked.query, name) for name in ("after", "until", "date"))
    is_of_kind = _kind_choice(asked)

    def is_wanted(one: Activity) -> bool:
        return (
            is_of_kind(one)
            and (after is None or one.at > after)
            and (until is None or one.at < until)
            and (day is None or day <= one.at < day + DAY_NANOS)
        )

    return is_wanted


def _kind_choice(asked: Asked) -> Callable[[Activity], bool]:
    named, category = asked.path.get("kind") or asked.query.get("activity_types", ""), asked.query.get("category", "")
    if named:
        kinds = {kind for name in named.upper().split(",") for kind in _GROUPS.get(name, {name})}
        return lambda one: one.kind in kinds
    if category not in {"", "trade_activity", "non_trade_activity"}:
        raise unprocessable(f"invalid category {category!r}")
    return lambda one: not category or (category == "trade_activity") == (one.kind == FILL)


def activity_id(at: Nanos, unique: str) -> str:
    """New York's time to the millisecond, then what makes it unique: "20220202135509981::2d7be4ff-..."."""
    local = instant_of(at).astimezone(NEW_YORK)
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}::{unique}"


def _position(chosen: list[Activity], token: str) -> int:
    for number, one in enumerate(chosen):
        if one.id == token:
            return number
    raise unprocessable(f"invalid page_token {token!r}")


def _fill(fill_id: str, done: Execution) -> dict[str, Any]:
    order = done.order
    leaves = order.quantity - order.filled
    return {
        "id": fill_id,
        "activity_type": FILL,
        "transaction_time": stamp(done.at),
        "type": "fill" if order.status == FILLED else "partial_fill",
        "price": plain(done.price),
        "qty": plain(done.quantity),
        "side": order.request.side.value.lower(),
        "symbol": order.request.symbol,
        "leaves_qty": plain(leaves),
        "order_id": order.id,
        "cum_qty": plain(order.filled),
        "order_status": order.status,
    }


def _fee(fee_id: str, done: Execution) -> dict[str, Any]:
    text = f"Commission of {plain(done.quantity)} {done.order.request.symbol}"
    return _moved(fee_id, done.at, "FEE", "COM", plain(ZERO - done.commission), description=text)


def _cash(cash_id: str, at: Nanos, moved: CashActivity) -> dict[str, Any]:
    kind, sub_kind = _KINDS[moved.kind]
    more = {"symbol": moved.symbol} if moved.symbol else {}
    return _moved(cash_id, at, kind, sub_kind, plain(moved.amount_usd), description=moved.text, **more)


def _moved(its_id: str, at: Nanos, kind: str, sub_kind: str | None, amount: str, **more: str) -> dict[str, Any]:
    return {
        "id": its_id,
        "activity_type": kind,
        **({"activity_sub_type": sub_kind} if sub_kind else {}),
        "date": f"{instant_of(at).astimezone(NEW_YORK):%Y-%m-%d}",
        "created_at": stamp(at),
        "net_amount": amount,
        "currency": "USD",
        "status": "executed",
        **more,
    }
