"""The Broker port over Interactive Brokers: a synchronous face; all work is done in the client library's own thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from trading_pipeline.adapters.brokers.ib.board import Board
from trading_pipeline.adapters.brokers.ib.changing import Changing
from trading_pipeline.adapters.brokers.ib.contracts import Stocks
from trading_pipeline.adapters.brokers.ib.health import Health, LinkState
from trading_pipeline.adapters.brokers.ib.link import READ_ONLY_ADVICE, ConnectionLost, Link
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.reading import Reading
from trading_pipeline.adapters.brokers.ib.shapes import ORDER_TYPES, TIMES_IN_FORCE
from trading_pipeline.adapters.brokers.ib.submitting import Submitting
from trading_pipeline.adapters.brokers.ib.told import ToldReports
from trading_pipeline.adapters.brokers.ib.tools import Tools
from trading_pipeline.adapters.brokers.ib_client import IbThread
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import OutcomeUnknown, SettingsError, VenueAbsent
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import (
    ClientIdScope,
    Clock,
    VenueAccount,
    VenueCapabilities,
    VenueOrder,
    VenuePosition,
)
from trading_pipeline.venue.checks import orders_of

T = TypeVar("T")
CAPABILITIES = VenueCapabilities(
    client_id_scope=ClientIdScope.NONE,  # TWS takes a second order under an orderRef it has seen
    order_types=ORDER_TYPES,
    times_in_force=TIMES_IN_FORCE,
    replaces_quantity=True,
)


class IbBroker:
    """Trades one account by the socket of a running TWS or IB Gateway. Implements Broker.

    Every call asks TWS anew, so that whatever happened before it is told by it. Nothing but submissions, changes and
    cancels leaves. What cannot be sent now is in doubt as what may have left is; `never_left` tells them apart.

    ids, told: files of the account, kept between runs. account_id: empty for the only account of the log-in.
    TWS tells no dividends, fees or interest: they show as unexplained cash when both sides are compared.
    """

    name = "ib"

    def __init__(self, rules: IbRules, clock: Clock, ids: VenueIds, told: ToldReports, account_id: str = "") -> None:
        self._rules, self._clock, self._thread = rules, clock, IbThread("interactive-brokers")
        self._ids, self._told = ids, told
        self._listeners: list[Callable[[], None]] = []
        self._account_id, self._board = account_id, Board()
        self._checked = ""  # the account `check_account` has let pass: no later log-in may be to another one
        self._turn = asyncio.Lock()
        names = Names(ids, self._board, rules.client_id)
        self._board.on_news = self._tell_listeners
        self._link = Link(self._thread, rules, clock, ids, self._board, self._reconcile, self._tell_listeners)
        self._reading = Reading(self._link, clock, ids, told, names, account_id)
        sdk = self._thread.sdk
        tools = Tools(
            sdk, self._link, clock, ids, told, names, self._reading, Stocks(sdk, self._link), rules.timeout_seconds
        )
        self._submitting, self._changing = Submitting(tools), Changing(tools)
        self._thread.start(self._link.run()).add_done_callback(self._link.ended)

    @property
    def capabilities(self) -> VenueCapabilities:
        return CAPABILITIES

    def health(self) -> Health:
        """How the connection stands; from any thread."""
        return self._link.health

    def hear(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener`, from the library's thread, when there may be news; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def check_account(self, expected: str, *, is_live: bool) -> str:
        """The account's number. Raises SettingsError when TWS is not there, logged in to another account or kind, or
        takes no orders, and when the account is not kept in USD.

        Raises OutcomeUnknown when that cannot be told now.
        """
        try:
            self._call(self._link.ready())
        except OutcomeUnknown as error:
            if self.health().state is LinkState.REFUSED:
                raise VenueAbsent(str(error)) from error
            raise
        accounts = self._link.accounts()
        if expected and expected not in accounts:
            raise SettingsError(
                f"TWS is logged in to {', '.join(accounts) or 'no account'}, not to {expected}. Log in to that "
                "account, or correct broker.account_id"
            )
        account = expected or self._reading.account
        if account.startswith("D") == is_live:
            kind, other = ("a paper", "live") if account.startswith("D") else ("a live", "paper")
            raise SettingsError(
                f"{account} is {kind} account and the mode wants a {other} one. Log TWS in to the {other} account, or "
                "choose another mode"
            )
        if self._link.is_read_only:
            raise SettingsError(f"TWS is connected, but {READ_ONLY_ADVICE}")
        self.account()  # whose figures are in USD
        self._checked = account
        self._call(self._alone(self._submitting.withdraw_parts))
        return account

    def restore(self, requests: Sequence[AnyRequest]) -> None:
        """Take over what our record has open, before anything is sent, into a file of ids that is new or was lost.

        From then on an order that is not on file never left. A file that was kept has them, and stays as it is.
        """
        if self._ids.kept_since() is None:
            for request in requests:
                if self._ids.family(orders_of(request)[0].client_order_id) is None:
                    self._ids.register(request, self._clock.now())
            self._ids.begin(self._clock.now())

    def submit(self, request: AnyRequest) -> str:
        return self._call(self._alone(lambda: self._submitting.submit(request)))

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self._call(self._alone(lambda: self._changing.replace(client_order_id, quantity, limit_price, stop_price)))

    def cancel(self, client_order_id: str) -> None:
        self._call(self._alone(lambda: self._changing.cancel(client_order_id)))

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self._call(self._look(lambda: self._reading.order(client_order_id)))

    def open_orders(self) -> Sequence[VenueOrder]:
        return self._call(self._look(self._reading.open_orders))

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """Also what occurred earlier and was heard of only since then; beyond midnight what was heard in time."""
        require_aware(since)
        return self._call(self._look(lambda: self._told.since(since)))

    def positions(self) -> Sequence[VenuePosition]:
        return self._call(self._read(self._reading.positions))

    def account(self) -> VenueAccount:
        return self._call(self._read(self._reading.account_figures))

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        """Always none: the interface of TWS does not tell them."""
        require_aware(since)
        return ()

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        """Every order is on file before its socket call: absent from a file that had all before it, it never left."""
        since = self._ids.kept_since()
        is_kept = since is not None and since <= created_at
        return is_kept and self._ids.family(client_order_id) is None and not self._told.of(client_order_id)

    def venue_now(self) -> datetime:
        """The clock of TWS (aware UTC), known to half a second. Raises OutcomeUnknown."""
        return self._call(self._read(self._reading.clock))

    def close(self) -> None:
        """Hang up and end the thread; the files stay open for who gave them."""
        self._thread.close(self._link.close)

    # inside

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        longest = self._rules.longest_wait_seconds
        try:
            return self._thread.call(work, longest)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"Interactive Brokers gave no answer within {longest:g} s. Look before anything is sent again"
            ) from error

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One at a time. The connection is waited for outside the turn, which reading again after it needs."""
        with suppress(OutcomeUnknown):  # the work says itself what it means
            await self._link.ready()
        async with self._turn:
            return await work()

    async def _read(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask; once more on the next connection when the first one ends meanwhile."""
        with suppress(ConnectionLost):
            return await self._asked(work)
        await self._link.lost()
        return await self._asked(work)

    async def _asked(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self._link.ready()
        async with self._turn:
            self._link.require_ready()
            return await work()

    async def _look(self, answer: Callable[[], T]) -> T:
        async def refreshed() -> T:
            await self._reading.refresh()
            return answer()

        return await self._read(refreshed)

    async def _reconcile(self) -> None:
        """After each connection: whose it is, then all orders, executions and positions."""
        self._reading.account = self._chosen()
        async with self._turn:
            await self._reading.refresh()
            if self._checked:  # the first time it is `check_account` that judges whose orders they are
                await self._submitting.withdraw_parts()
            await self._reading.positions()

    def _chosen(self) -> str:
        accounts = self._link.accounts()
        if self._account_id and self._account_id not in accounts:
            raise OutcomeUnknown(
                f"TWS is logged in to {', '.join(accounts) or 'no account'}, not to {self._account_id}. Log in to that "
                "account, or correct broker.account_id"
            )
        if not self._account_id and len(accounts) != 1:
            raise OutcomeUnknown(
                f"TWS is logged in to {len(accounts)} accounts ({', '.join(accounts)}): name one in broker.account_id"
            )
        chosen = self._account_id or accounts[0]
        if self._checked not in {"", chosen}:
            raise OutcomeUnknown(
                f"TWS is now logged in to {chosen}, and this process trades {self._checked}. Log in to that account "
                "again, or stop this process and start it anew"
            )
        return chosen

    def _tell_listeners(self) -> None:
        for listener in tuple(self._listeners):
            listener()
