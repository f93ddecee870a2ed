"""The Broker port over Alpaca. Fills come from the account's activities only; the stream is but a reason to look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca.account import read_account, read_position, require_tradable
from trading_pipeline.adapters.brokers.alpaca.checks import require_sendable
from trading_pipeline.adapters.brokers.alpaca.fills import read_cash
from trading_pipeline.adapters.brokers.alpaca.keys import AlpacaKeys
from trading_pipeline.adapters.brokers.alpaca.listing import MOST_ACTIVITIES, SKEW, Listing
from trading_pipeline.adapters.brokers.alpaca.orders import Orders
from trading_pipeline.adapters.brokers.alpaca.reports import reports_of
from trading_pipeline.adapters.brokers.alpaca.rest import AlpacaRest
from trading_pipeline.adapters.brokers.alpaca.wire import instant
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.executions import in_order
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport, OrderType, TimeInForce
from trading_pipeline.ports import (
    ClientIdScope,
    Clock,
    VenueAccount,
    VenueCapabilities,
    VenueOrder,
    VenuePosition,
)

CAPABILITIES = VenueCapabilities(
    client_id_scope=ClientIdScope.FOREVER,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    replaces_quantity=False,
)
"""Quantities: a leg's is not replaceable, and a partly filled order's is replaced by as many shares again."""
CASH_BACK = timedelta(days=7)
"""How much older than asked for an activity may be created: fees are dated back."""
LATE_FOR = timedelta(seconds=60)
"""How long a report is repeated that became known after later ones had been told."""


class AlpacaBroker:
    """One account at Alpaca. account: its name in our record; clock: dates what is sent, and paces requests.

    Used from one thread. `ids` must be durable: give the same file to every process of the account.
    """

    name = "alpaca"

    def __init__(
        self, rules: AlpacaRules, clock: Clock, ids: VenueIds, *, account: str, keys: AlpacaKeys | None = None
    ) -> None:
        self._clock, self._account = clock, account
        self._keys = keys or AlpacaKeys.of(rules)
        self._rest = AlpacaRest(rules, self._keys, clock)
        self._ids = ids
        self._listing = Listing(self._rest, ids, clock)
        self._orders = Orders(self._rest, self._listing, ids, clock)
        self._told = _Told(clock)

    @property
    def capabilities(self) -> VenueCapabilities:
        return CAPABILITIES

    # at connect

    def check_account(self, expected_account_id: str = "", *, is_live: bool = False) -> str:
        """The account's number, once it is the expected one ("": any) and may trade; the only one from then on.

        is_live: a paper account is refused. Raises SettingsError (another account, no keys), TradingError (blocked,
        suspended, not active), KeysRefused or OutcomeUnknown.
        """
        row = self._rest.document("GET", "/account", "read the account")
        require_tradable(row, expected_account_id, is_live=is_live)
        number = str(row.get("account_number") or "")
        self._rest.keep_to(number)
        return number

    def rekey(self, key_id: SecretStr, secret_key: SecretStr) -> None:
        """Use other keys from the next request on; those of another account than was checked ask for nothing."""
        self._keys.change(key_id, secret_key)

    def restore(self, requests: Sequence[AnyRequest]) -> None:
        """Register the requests of orders our record has open, where the file of ids was lost; known ones stay."""
        for request in requests:
            self._orders.register(request)

    # orders

    def submit(self, request: AnyRequest) -> str:
        """As the port says; KeysRefused or NotTaken (OutcomeUnknown both): nothing was done then."""
        require_sendable(request)
        return self._orders.submit(request)

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        """Ask for new prices; a report tells whether they came. A quantity is refused: see CAPABILITIES."""
        self._orders.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

    def cancel(self, client_order_id: str) -> None:
        self._orders.cancel(client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        found = self._orders.find(client_order_id)
        return None if found is None else self._listing.book.view(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        self._listing.look(with_open=True)
        return self._listing.book.open_views()

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """As the port says, and for a while what became known late though dated before `since`."""
        require_aware(since)
        self._listing.look(since)
        self._listing.look_at_fills(since)
        return self._told.tell(reports_of(self._listing.book, self._listing.fills, self._ids), since)

    # the account

    def positions(self) -> Sequence[VenuePosition]:
        rows = self._rest.rows("/positions", "list positions", {})
        return sorted((read_position(row) for row in rows), key=lambda held: held.symbol)

    def account(self) -> VenueAccount:
        row = self._rest.found("/account", "read the account") or {}
        return read_account(row, self._account)

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        """Everything that moved cash but fills. Alpaca's regulatory fees come here, a day later, not with the fills."""
        after = require_aware(since) - SKEW - (CASH_BACK if since.year > 1 else timedelta(0))
        query = {"category": "non_trade_activity", "after": after.isoformat().replace("+00:00", "Z")}
        rows = self._rest.activities("/account/activities", "list cash activities", query, MOST_ACTIVITIES)
        found = (read_cash(row, self.name, self._account) for row in rows)
        due = [one for one in found if one is not None and one.occurred_at >= since]
        return sorted(due, key=lambda one: (one.occurred_at, one.activity_id))

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:  # noqa: ARG002
        """Also of one that left and was turned away unread; what is in doubt is looked up, as Alpaca keeps our ids."""
        return self._orders.was_turned_away(client_order_id)

    def venue_now(self) -> datetime:
        """Alpaca's clock (aware UTC). Raises OutcomeUnknown."""
        row = self._rest.found("/clock", "say what time it is") or {}
        try:
            return instant(row.get("timestamp"))
        except (TypeError, ValueError) as error:
            raise OutcomeUnknown(f"Alpaca's clock shows {row.get('timestamp')!r}, which is no instant") from error

    def close(self) -> None:
        """Give the connections back; `ids` stays open."""
        self._rest.close()


class _Told:
    """What was told of so far: each report as it was first made, and those that became known late.

    Late is what a venue dates before what has been asked or told since, as one whose clock is behind ours does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, ExecutionReport] = {}
        self._late: dict[str, datetime] = {}
        self._has_told = False

    def tell(self, made: Sequence[ExecutionReport], since: datetime) -> Sequence[ExecutionReport]:
        """Reports at or after `since`, oldest first, and late ones."""
        now = self._clock.now()
        newest = max((report.occurred_at for report in self._said.values()), default=since)
        for report in made:
            if report.exec_id not in self._said:
                self._said[report.exec_id] = report
                if self._has_told and report.occurred_at < max(newest, since):
                    self._late[report.exec_id] = now
        self._has_told = True
        self._late = {exec_id: seen for exec_id, seen in self._late.items() if now - seen <= LATE_FOR}
        due = (one for one in self._said.values() if one.occurred_at >= since or one.exec_id in self._late)
        return in_order(due)
