"""The Broker and SimulatedMarket ports over the simulated venue in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

import requests
from pydantic import ValidationError

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import InputError, LeaseLost, OrderRefused, OutcomeUnknown
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Clock, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition
from trading_pipeline.venue import protocol as said
from trading_pipeline.venue.engine import CAPABILITIES
from trading_pipeline.venue.faults import FaultScript
from trading_pipeline.venue.hours import Halt

DEFINITE = {"OrderRefused": OrderRefused, "LeaseLost": LeaseLost, "InputError": InputError}
TIMEOUT_SECONDS = 5.0


class _Line:
    """Calls at the door. Every one has a timeout; none is ever repeated here."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False  # loopback: no proxy may stand between

    def call(self, name: str, message: Any, headers: Mapping[str, str] | None = None) -> Any:
        """The venue's answer; raises what it says definitely, and OutcomeUnknown for everything else."""
        operation = said.OPERATIONS[name]
        response = self.post(name, operation.message.dump_json(message), headers)
        try:
            return operation.answer.validate_json(response.content)
        except ValidationError as error:
            raise _unknown(name, "its answer cannot be read") from error

    def get(self, name: str) -> requests.Response:
        return self._ask("GET", name)

    def post(self, name: str, body: bytes, headers: Mapping[str, str] | None = None) -> requests.Response:
        return self._ask("POST", name, body, headers)

    def _ask(
        self, method: str, name: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        try:
            response = self._session.request(
                method, f"{self._url}/{name}", data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _unknown(name, f"no answer ({type(error).__name__})") from error
        if response.status_code != requests.codes.ok:
            _raise_for(name, response)
        return response

    def close(self) -> None:
        self._session.close()


class RemoteBroker:
    """Trades at a venue process by the given clock. fence: the leader's token, sent with every order.

    Raises LeaseLost where the venue has seen a higher token.
    """

    name = "simulated"

    def __init__(
        self,
        url: str,
        clock: Clock,
        timeout_seconds: float = TIMEOUT_SECONDS,
        *,
        fence: Callable[[], int] | None = None,
    ) -> None:
        self._line, self._clock, self._fence = _Line(url, timeout_seconds), clock, fence

    @property
    def capabilities(self) -> VenueCapabilities:
        return CAPABILITIES

    def submit(self, request: AnyRequest) -> str:
        answer: str = self._order("submit", said.Submit(request=request, now=self._clock.now()))
        return answer

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        message = said.Replace(
            client_order_id=client_order_id, now=self._clock.now(), stop_price=stop_price, limit_price=limit_price,
            quantity=quantity,
        )  # fmt: skip
        self._order("replace", message)

    def cancel(self, client_order_id: str) -> None:
        self._order("cancel", said.Cancel(client_order_id=client_order_id, now=self._clock.now()))

    def order(self, client_order_id: str) -> VenueOrder | None:
        found: VenueOrder | None = self._line.call("order", said.Lookup(client_order_id=client_order_id))
        return found

    def open_orders(self) -> Sequence[VenueOrder]:
        orders: tuple[VenueOrder, ...] = self._line.call("open_orders", said.Nothing())
        return orders

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        reports: tuple[ExecutionReport, ...] = self._line.call("execution_reports", said.Since(since=since))
        return reports

    def positions(self) -> Sequence[VenuePosition]:
        positions: tuple[VenuePosition, ...] = self._line.call("positions", said.Nothing())
        return positions

    def account(self) -> VenueAccount:
        account: VenueAccount = self._line.call("account", said.Nothing())
        return account

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        activities: tuple[CashActivity, ...] = self._line.call("cash_activities", said.Since(since=since))
        return activities

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:  # noqa: ARG002  the venue keeps our ids
        return False

    def close(self) -> None:
        """Give the connection back."""
        self._line.close()

    def _order(self, name: str, message: Any) -> Any:
        headers = None if self._fence is None else {said.FENCE_HEADER: str(self._fence())}
        try:
            return self._line.call(name, message, headers)
        except InputError as error:
            raise OrderRefused(str(error)) from error


class RemoteMarket:
    """Moves the market of a venue process. Repeating a call whose outcome is unknown is harmless."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._line = _Line(url, timeout_seconds)

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        self._line.call("on_bars", said.Bars(bars=tuple(bars), now=now))

    def on_session_open(
        self, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
    ) -> None:
        message = said.Opening(times=times, splits=dict(splits), dividends=dict(dividends))
        self._line.call("on_session_open", message)

    def on_session_close(self, times: SessionTimes) -> None:
        self._line.call("on_session_close", said.Closing(times=times))

    def symbols_of_interest(self) -> frozenset[str]:
        symbols: frozenset[str] = self._line.call("symbols_of_interest", said.Nothing())
        return symbols

    def halt(self, halt: Halt) -> None:
        """Stop trading in a symbol between two instants."""
        self._line.call("halt", halt)

    def watched(self) -> said.Watched:
        """Gaps in protection and faults played, as the venue saw them."""
        return said.WATCHED.validate_json(self._line.get("watch").content)

    def play_faults(self, script: FaultScript) -> None:
        """Begin another fault script at the door."""
        self._line.post("faults", script.model_dump_json().encode())

    def close(self) -> None:
        """Give the connection back."""
        self._line.close()


def _raise_for(name: str, response: requests.Response) -> NoReturn:
    """A definite answer names its error; anything else leaves the outcome open."""
    if response.status_code == requests.codes.too_many_requests:
        wait = response.headers.get("Retry-After", "a few")
        raise _unknown(name, f"too many requests; ask again after {wait} seconds")
    try:
        body = response.json()
        error, message = DEFINITE[body["error"]], str(body["message"])
    except (ValueError, KeyError, TypeError) as unreadable:
        raise _unknown(name, f"HTTP {response.status_code}") from unreadable
    raise error(message)


def _unknown(name: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"{name} at the simulated venue: {why}. Query the venue before anything is sent again")
