"""Requests to Alpaca through its own client: each with a timeout, no order repeated, every answer told apart.

The client library has no timeout and repeats a POST after a 504, which can trade twice; both are switched off here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, NoReturn

import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from requests.adapters import HTTPAdapter

from trading_pipeline.adapters.brokers.alpaca.budget import LONGEST_PAUSE, Budget
from trading_pipeline.adapters.brokers.alpaca.hosts import is_loopback
from trading_pipeline.adapters.brokers.alpaca.keys import KEY_ID, SECRET_KEY, AlpacaKeys
from trading_pipeline.adapters.brokers.alpaca.refusals import Refusal, read_refusal, shortened
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import KeysRefused, NotTaken, OutcomeUnknown, TradingError
from trading_pipeline.ports import Clock

log = logging.getLogger(__name__)
DEFINITE = frozenset({400, 403, 404, 409, 422})
"""With a body of Alpaca's own: nothing was done."""
ABOUT_THE_ORDER = 4031
"""How the code of a 403 begins that is not about the keys."""
READ_BYTES = 65_536
"""Of a body at a time, at most."""
RETRY_SECONDS = 1.0
"""After a 429 that does not say how long to wait."""


class Refused(TradingError):
    """A definite no of Alpaca's; the caller knows what it was about."""

    def __init__(self, refusal: Refusal, what: str) -> None:
        self.refusal = refusal
        super().__init__(refusal.words(what))


class _Broken(OutcomeUnknown):
    """No answer of Alpaca's: the connection or its gateway failed."""


class _PatientAdapter(HTTPAdapter):
    """A timeout for every request, and no redirects: an order must not be sent on.

    The library's is of one read from the socket, and an answer that trickles in has many: all of it has to be there
    after twice as long.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        super().__init__(max_retries=0)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"], until = self._timeout, monotonic() + 2 * self._timeout
        response = super().send(request, *args, **options)
        raw: Any = response.raw
        raw.stream = lambda *_, **__: _as_it_comes(raw, until)  # what `content` reads, and tells apart what breaks
        if response.is_redirect or 300 <= response.status_code < 400:
            raise requests.exceptions.TooManyRedirects(f"HTTP {response.status_code}, which Alpaca never answers")
        return response


def _as_it_comes(raw: Any, until: float) -> Iterator[bytes]:
    """A body by what each read from the socket brings, until it is too late for more."""
    while part := raw.read1(READ_BYTES, decode_content=True):
        yield part
        if monotonic() > until:
            raw.close()
            raise requests.ReadTimeout("the answer trickles in")


class _Client(TradingClient):
    """The trading client with keys that may change between two requests: it is given those of each."""

    pair: tuple[str, str]

    def __init__(self, rules: AlpacaRules) -> None:
        super().__init__("-", "-", raw_data=True, url_override=rules.trading_url.rstrip("/"))
        self._retry, self._retry_codes = 0, []
        self._session.trust_env = not is_loopback(rules.trading_url)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _PatientAdapter(rules.timeout_seconds))

    def _get_auth_headers(self) -> dict[str, str]:
        key_id, secret = self.pair
        return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret}


class AlpacaRest:
    """One account's REST interface. `what` is said in errors: "submit tp-…", "list orders".

    Every call raises Refused (definite), KeysRefused or NotTaken (nothing done), OutcomeUnknown (anything may have
    happened), or SettingsError when there are no keys.
    """

    def __init__(self, rules: AlpacaRules, keys: AlpacaKeys, clock: Clock) -> None:
        self._client, self._keys = _Client(rules), keys
        self._clock, self._budget = clock, Budget(clock, rules.requests_per_minute)
        self._number = ""
        self._checked: tuple[str, str] | None = None

    def keep_to(self, account_number: str) -> None:
        """The account of the last answer: with other keys nothing is asked before they are known to be for it too."""
        self._number, self._checked = account_number, self._client.pair

    def document(self, method: str, path: str, what: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that is answered."""
        found = self.call(method, path, what, data)
        if not isinstance(found, dict):
            raise _unknown(what, "its answer is no object")
        return found

    def found(self, path: str, what: str, query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The JSON object that is answered to a GET; None when there is none of that name. Never raises Refused."""
        try:
            return self.document("GET", path, what, query)
        except Refused as refused:
            if refused.refusal.status == requests.codes.not_found:
                return None
            raise OutcomeUnknown(str(refused)) from refused

    def rows(self, path: str, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The JSON array of objects that is answered to a GET. Never raises Refused."""
        try:
            found = self.call("GET", path, what, query)
        except Refused as refused:
            raise OutcomeUnknown(str(refused)) from refused
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise _unknown(what, "its answer is no list of objects")
        return found

    def activities(self, path: str, what: str, query: Mapping[str, Any], page_size: int) -> Iterator[dict[str, Any]]:
        """Every account activity that fits, oldest first, page by page; from a `page_token` in the query on."""
        token: dict[str, Any] = {}
        while True:
            asked = {**query, **token, "direction": "asc", "page_size": page_size}
            page = self.rows(path, what, asked)
            yield from page
            if len(page) < page_size:
                return
            last = page[-1].get("id")
            if not isinstance(last, str) or last == token.get("page_token"):
                raise _unknown(what, "its pages do not go on")
            token = {"page_token": last}

    def call(self, method: str, path: str, what: str, data: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON; None for an empty one.

        A read whose answer broke off, or was the gateway's own, is made a second time at once; nothing else ever is.
        """
        self._take_keys(what)
        if method != "GET":
            self._budget.note_order()
            return self._ask(method, path, what, data)
        try:
            return self._read(path, what, data)
        except _Broken:
            return self._read(path, what, data)

    def _take_keys(self, what: str) -> None:
        """The keys as they are now. Raises KeysRefused when they were swapped for another account's."""
        self._client.pair = self._keys.pair()
        if not self._number or self._client.pair == self._checked:
            return
        self._budget.note_order()  # it waits no more than an order does
        try:
            row = self._ask("GET", "/account", f"say whose the new keys are, to {what}", None)
        except Refused as refused:
            raise OutcomeUnknown(str(refused)) from refused
        found = str(row.get("account_number") or "") if isinstance(row, dict) else ""
        if found != self._number:
            self._keys.refresh()
            raise KeysRefused(_another_account(what, found, self._number))
        self._checked = self._client.pair

    def _read(self, path: str, what: str, data: Mapping[str, Any] | None) -> Any:
        wait = self._budget.take_read().total_seconds()
        if wait:
            raise OutcomeUnknown(
                f"Alpaca was not asked to {what}: its requests of this minute are used, {wait:.0f} s to go"
            )
        return self._ask("GET", path, what, data)

    def _ask(self, method: str, path: str, what: str, data: Mapping[str, Any] | None) -> Any:
        try:
            return self._client._request(method, path, dict(data) if data is not None else None)
        except APIError as error:
            self._raise_for(error, what)
        except requests.JSONDecodeError as error:
            raise _Broken(_doubt(what, "its answer is not JSON")) from error
        except requests.Timeout as error:
            raise _unknown(what, f"no answer ({type(error).__name__})") from error
        except requests.RequestException as error:
            raise _Broken(_doubt(what, f"no answer ({type(error).__name__})")) from error

    def close(self) -> None:
        """Give the connections back."""
        self._client._session.close()

    def _raise_for(self, error: APIError, what: str) -> NoReturn:
        response = error.response
        status, body = response.status_code, response.text
        refusal = read_refusal(status, body)
        if status == requests.codes.too_many_requests:
            seconds = self._pause(response.headers)
            why = f"too many requests: it was not done, and nothing is read for {seconds:.0f} s"
            raise NotTaken(f"Alpaca was asked to {what}: {why}. It is asked again", seconds) from error
        if status == requests.codes.unauthorized or (
            status == requests.codes.forbidden and not _is_about_order(refusal)
        ):
            self._keys.refresh()
            raise KeysRefused(_keys_refused(what, status, body)) from error
        if refusal is not None and status in DEFINITE:
            raise Refused(refusal, what) from error
        raise _Broken(_doubt(what, f"HTTP {status}: {shortened(body)}")) from error

    def _pause(self, headers: Mapping[str, str]) -> float:
        """Seconds nothing is read for: as told, until the quota is whole again, or a moment when some of it is left."""
        until_reset = _number(headers, "X-RateLimit-Reset", RETRY_SECONDS) - self._clock.now().timestamp()
        if _number(headers, "X-RateLimit-Remaining", 0) > 0 or not 0 <= until_reset <= LONGEST_PAUSE.total_seconds():
            until_reset = RETRY_SECONDS
        seconds = _number(headers, "Retry-After", until_reset)
        log.warning("Alpaca answers too many requests; nothing is read for %.0f s", seconds)
        self._budget.pause(seconds)
        return seconds


def _number(headers: Mapping[str, str], name: str, default: float) -> float:
    try:
        found = float(headers[name])
    except (KeyError, ValueError):
        return default
    return found if math.isfinite(found) else default


def _is_about_order(refusal: Refusal | None) -> bool:
    return refusal is not None and refusal.code // 10_000 == ABOUT_THE_ORDER


def _keys_refused(what: str, status: int, body: str) -> str:
    return (
        f"Alpaca refused our keys (HTTP {status}: {shortened(body)}), so it was not asked to {what}. Set {KEY_ID} and "
        f"{SECRET_KEY} to keys that are not revoked (a paper account has its own), and start again. A running process "
        "takes new keys from its profile file only: broker.alpaca.key_id and secret_key, and no variable of that name"
    )


def _another_account(what: str, found: str, ours: str) -> str:
    return (
        f"Alpaca was not asked to {what}: the keys set now are for its account {found or '(not told)'}, and this "
        f"process trades {ours}. Set keys of {ours}; to trade the other account, stop this process and start it anew"
    )


def _unknown(what: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(_doubt(what, why))


def _doubt(what: str, why: str) -> str:
    return f"Alpaca was asked to {what}: {why}. Query the venue before anything is sent again"
