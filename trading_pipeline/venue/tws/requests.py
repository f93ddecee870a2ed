"""What clients ask about orders, executions, contracts and the account, and what they are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.market import require_aware
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws import checks
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Asked, Contracts, market_rule
from trading_pipeline.venue.tws.desk import Desk
from trading_pipeline.venue.tws.order_messages import (
    Execution,
    commission_report,
    completed_order,
    execution,
    open_order,
    order_status,
)
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.placing import read_placing
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.session import Session
from trading_pipeline.venue.tws.wire import NEW_YORK, Fields, Message, parsed_time


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of message: its name in fault scripts, what is done, and the orderRef fault rules may ask for.

    id_at: which field errors about it name; None where TWS names none. other_op: its name where it is another thing.
    """

    op: str
    run: Callable[[Session, Fields], None]
    subject: Callable[[Session, Fields], str] = lambda _, __: ""
    id_at: int | None = None
    other_op: Callable[[Session, Fields], str | None] = lambda _, __: None

    def op_of(self, session: Session, fields: Fields) -> str:
        """Its name in fault scripts."""
        return self.other_op(session, fields) or self.op

    def request_id(self, fields: Fields) -> int:
        """What an error about it is said to be about."""
        return -1 if self.id_at is None else fields.to(self.id_at).whole()


class OrderRequests:
    """Orders and executions."""

    def __init__(self, hub: Hub, desk: Desk, rules: TwsDoorRules) -> None:
        self._hub, self._desk, self._rules = hub, desk, rules
        self.table: Mapping[int, Request] = {
            3: Request("orders.submit", self._place, self._placed_ref, 1, self._change_op),
            4: Request("orders.cancel", self._cancel, self._cancelled_ref, 2),
            5: Request("orders.open", self._own_open),
            7: Request("executions", self._executions, id_at=2),
            8: Request("ids", self._next_id),
            15: Request("orders.bind", self._bind),
            16: Request("orders.open", self._all_open),
            58: Request("orders.cancel_all", self._cancel_all),
            99: Request("orders.completed", self._completed),
        }

    def _place(self, session: Session, fields: Fields) -> None:
        self._desk.place(session.client_id, read_placing(fields))

    def _placed_ref(self, _: Session, fields: Fields) -> str:
        return fields[26]

    def _change_op(self, session: Session, fields: Fields) -> str | None:
        known = self._desk.orders.own(session.client_id, fields.to(1).whole())
        return "orders.replace" if known is not None and known.engine_id else None

    def _cancel(self, session: Session, fields: Fields) -> None:
        self._desk.cancel(session.client_id, fields.to(2).whole())

    def _cancelled_ref(self, session: Session, fields: Fields) -> str:
        order = self._desk.orders.own(session.client_id, fields.to(2).whole())
        return order.terms.order_ref if order else ""

    def _cancel_all(self, _: Session, __: Fields) -> None:
        if self._rules.read_only:
            raise Trouble(321, checks.READ_ONLY)
        self._desk.cancel_all()

    def _next_id(self, session: Session, _: Fields) -> None:
        session.say(next_valid_id(self._desk, session))

    def _bind(self, session: Session, fields: Fields) -> None:
        if session.client_id != 0:
            raise Trouble(327, "Only the default client (i.e. 0) can auto bind orders.")
        session.binds_manual_orders = fields.to(2).flag()

    def _own_open(self, session: Session, _: Fields) -> None:
        self._tell_open(session, (order for order in self._desk.orders if order.client_id == session.client_id))

    def _all_open(self, session: Session, _: Fields) -> None:
        self._tell_open(session, self._desk.orders)

    def _tell_open(self, session: Session, orders: Iterable[WireOrder]) -> None:
        """In read-only mode TWS complains and never ends the list."""
        if self._rules.read_only:
            raise Trouble(321, checks.READ_ONLY)
        for order in orders:
            if self._desk.orders.is_open(order):
                shown = self._desk.showing.shown(order)
                session.say(open_order(shown), order_status(shown))
        session.say((53, 1))

    def _completed(self, session: Session, _: Fields) -> None:
        """Orders that ended since midnight in New York."""
        midnight = midnight_before(self._hub.time.now())
        for order in self._desk.orders:
            shown = None if self._desk.orders.is_open(order) else self._desk.showing.shown(order)
            if shown is not None and shown.ended_at is not None and shown.ended_at >= midnight:
                session.say(completed_order(shown))
        session.say((102,))

    def _executions(self, session: Session, fields: Fields) -> None:
        """Fills since midnight in New York that pass the filter, each with its commission."""
        read = fields.to(2)
        request_id, wanted = read.whole(), ExecutionFilter.read(read)
        midnight = midnight_before(self._hub.time.now())
        for done in self._desk.showing.executions():
            if done.time >= midnight and wanted.passes(done, self._desk.showing.account):
                session.say(execution(request_id, done, self._desk.showing.account), commission_report(done))
        session.say((55, 1, request_id))


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """What a client wants of the day's fills; empty or zero: all."""

    client_id: int
    account: str
    since: datetime | None
    symbol: str
    kind: str
    exchange: str
    side: str

    @classmethod
    def read(cls, fields: Fields) -> ExecutionFilter:
        """clientId to side."""
        client_id, account, since = fields.whole(), fields.text(), parsed_time(fields.text())
        return cls(client_id, account, since, fields.text(), fields.text(), fields.text(), fields.text())

    def passes(self, done: Execution, account: str) -> bool:
        """True for a fill that was asked for."""
        order = done.order
        asked = {
            (self.client_id or order.client_id, order.client_id), (self.account or account, account),
            (self.symbol or order.stock.name, order.stock.name), (self.kind or "STK", "STK"),
            (self.side[:1] or order.terms.action[:1], order.terms.action[:1]),
        }  # fmt: skip
        return all(want == have for want, have in asked) and (self.since is None or done.time >= self.since)


class AccountRequests:
    """The account, contracts and the clock."""

    def __init__(self, hub: Hub, account: Account, contracts: Contracts) -> None:
        self._hub, self._account, self._contracts = hub, account, contracts
        self.table: Mapping[int, Request] = {
            6: Request("account", self._updates),
            9: Request("contracts", self._details, id_at=2),
            17: Request("account", lambda session, _: session.say(managed_accounts(account))),
            49: Request("clock", self._clock),
            61: Request("positions", self._positions),
            62: Request("account", self._summary, id_at=2),
            63: Request("account", _nothing),
            64: Request("positions", self._no_positions),
            76: Request("account", self._multi),
            77: Request("account", _nothing),
            91: Request("contracts", lambda session, fields: session.say(market_rule(fields.to(1).whole()))),
            92: Request("account", lambda session, fields: session.say(account.profit(fields.to(1).whole()))),
            93: Request("account", _nothing),
        }

    def _updates(self, session: Session, fields: Fields) -> None:
        session.follows_account = fields.to(2).flag()
        if session.follows_account:
            session.say(*self._account.values_now(), (54, 1, self._account.name))

    def _multi(self, session: Session, fields: Fields) -> None:
        read = fields.to(2)
        request_id, _, model = read.whole(), read.text(), read.text()
        session.say(*self._account.multi(request_id, model), (74, 1, request_id))

    def _summary(self, session: Session, fields: Fields) -> None:
        read = fields.to(2)
        request_id, _, tags = read.whole(), read.text(), read.text()
        session.say(*self._account.summary(request_id, tags), (64, 1, request_id))

    def _positions(self, session: Session, _: Fields) -> None:
        session.follows_positions = True
        session.say(*self._account.positions(), (62, 1))

    def _no_positions(self, session: Session, _: Fields) -> None:
        session.follows_positions = False

    def _clock(self, session: Session, _: Fields) -> None:
        session.say((49, 1, int(self._hub.time.now().timestamp())))

    def _details(self, session: Session, fields: Fields) -> None:
        read = fields.to(2)
        request_id, stock = read.whole(), self._contracts.find(Asked.read(read))
        if stock is None:
            raise Trouble(200, checks.NO_CONTRACT)
        session.say(self._contracts.details(request_id, stock), (52, 1, request_id))


def next_valid_id(desk: Desk, session: Session) -> Message:
    """Message 9."""
    return (9, 1, desk.orders.next_order_id(session.client_id))


def managed_accounts(account: Account) -> Message:
    """Message 15."""
    return (15, 1, account.name)


def midnight_before(now: datetime) -> datetime:
    """The beginning of the day in New York."""
    return require_aware(now).astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)


def _nothing(_: Session, __: Fields) -> None:
    """Cancelling what is answered at once ends nothing."""
