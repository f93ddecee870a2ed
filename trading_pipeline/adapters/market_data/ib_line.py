"""A connection to TWS for market data alone: in the library's own thread, paced, and made again when it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from trading_pipeline.adapters.brokers.ib_client import GRACE_SECONDS, NEW_YORK, IbThread
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.errors import MarketDataError

T = TypeVar("T")
log = logging.getLogger(__name__)
TEN_MINUTES, SAME_CONTRACT_SECONDS, SAME_CONTRACT_REQUESTS, IDENTICAL_SECONDS = 600.0, 2.0, 5, 15.0
CONNECTION_LOST, RESTORED_EMPTY, RESTORED = 1100, 1101, 1102
ADVICE = {
    162: "its history has no such bars, or they are not in the account's subscriptions",
    200: "Interactive Brokers does not know this symbol",
    326: "another program is connected under broker.ib.data_client_id: stop it, or choose another number",
    354: "the account has no market-data subscription for it: subscribe in Client Portal",
    420: "the account has no market-data subscription for live bars of it: subscribe in Client Portal",
    10089: "the account has no market-data subscription for it: subscribe in Client Portal",
    10197: "another session of this user gets the live data: log out there",
}
"""What error codes ask for."""


class BarPacing:
    """Waits until one more request for bars keeps IB's rules: so many in ten minutes, fewer than six for one contract
    in two seconds, and none identical within fifteen seconds. What breaks them is refused with 162."""

    def __init__(self, requests_per_10_minutes: int, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._most, self._elapsed, self._turn = requests_per_10_minutes, elapsed, asyncio.Lock()
        self._all: deque[float] = deque()
        self._of: defaultdict[str, deque[float]] = defaultdict(deque)
        self._last: dict[object, float] = {}

    async def take(self, symbol: str, request: object) -> None:
        """Return when the request may leave; it counts from then."""
        async with self._turn:
            while (wait := self.wait_seconds(symbol, request)) > 0:
                await asyncio.sleep(wait)
            now = self._elapsed()
            self._all.append(now)
            self._of[symbol].append(now)
            self._last[request] = now

    def wait_seconds(self, symbol: str, request: object) -> float:
        """How long the request has to wait; 0 when it may leave."""
        now, of_symbol = self._elapsed(), self._of[symbol]
        _forget(self._all, now - TEN_MINUTES)
        _forget(of_symbol, now - SAME_CONTRACT_SECONDS)
        due = [self._last.get(request, now - IDENTICAL_SECONDS) + IDENTICAL_SECONDS]
        if len(self._all) >= self._most:
            due.append(self._all[-self._most] + TEN_MINUTES)
        if len(of_symbol) >= SAME_CONTRACT_REQUESTS:
            due.append(of_symbol[-SAME_CONTRACT_REQUESTS] + SAME_CONTRACT_SECONDS)
        return max(0.0, max(due) - now)


def _forget(times: deque[float], until: float) -> None:
    while times and times[0] <= until:
        times.popleft()


class IbLine:
    """One connection, shared by history and stream. `call` is for other threads, the rest for inside."""

    def __init__(self, rules: IbRules) -> None:
        self.rules, self.pacing = rules, BarPacing(rules.historical_requests_per_10_minutes)
        self.thread = IbThread("ib-market-data")
        self.ib: Any = None
        self.on_error: Callable[[int, int, str], None] = lambda _request, _code, _text: None
        self.on_lost: Callable[[str], None] = lambda _reason: None
        self._refusal = ""

    def call(self, work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
        """The result of work inside. Raises MarketDataError when it takes longer, or the connection ends."""
        try:
            return self.thread.call(work, timeout_seconds + GRACE_SECONDS)
        except (TimeoutError, ConnectionError, OSError) as error:
            raise MarketDataError(
                f"TWS at {self.where} did not answer ({type(error).__name__}). Look at it, then run the same command "
                "again: it goes on where it stopped."
            ) from error

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{self.rules.host}:{self.rules.port}"

    async def connected(self) -> Any:
        """The library's client, connected; raises MarketDataError with what to do."""
        if self.ib is not None and self.ib.isConnected():
            return self.ib
        self._refusal = ""
        self.ib = ib = self._new_client()
        try:
            await ib.connectAsync(
                self.rules.host, self.rules.port, self.rules.data_client_id, timeout=self.rules.timeout_seconds,
                readonly=True,
            )  # fmt: skip
        except ConnectionRefusedError as error:
            raise MarketDataError(
                f"nobody listens at {self.where}. Start TWS or IB Gateway, log in and enable socket clients "
                "(Configure > API > Settings); broker.ib.port is 4002 for a paper Gateway, 7497 for a paper TWS."
            ) from error
        except (TimeoutError, ConnectionError, OSError) as error:
            why = self._refusal or f"it did not answer as TWS does within {self.rules.timeout_seconds:g} s"
            raise MarketDataError(f"no connection to TWS at {self.where}: {why}.") from error
        return ib

    def _new_client(self) -> Any:
        ib = self.thread.sdk.IB()
        ib.RaiseRequestErrors = True  # else a refusal looks like an empty answer
        ib.TimezoneTWS = NEW_YORK
        ib.client.MaxRequests = self.rules.messages_per_second
        ib.errorEvent += self._on_error
        ib.disconnectedEvent += lambda: self.on_lost("the connection to TWS ended") if ib is self.ib else None
        return ib

    def _on_error(self, request: int, code: int, text: str, _contract: object) -> None:
        if code in ADVICE and request == -1:
            self._refusal = f"{text} (error {code}): {ADVICE[code]}"
        self.on_error(request, code, text)

    async def asked(self, what: str, answer: Awaitable[T]) -> T:
        """A request's answer within the limit; raises Refused, or MarketDataError when none comes."""
        try:
            async with asyncio.timeout(self.rules.timeout_seconds):
                return await answer
        except TimeoutError as error:
            raise MarketDataError(
                f"TWS at {self.where} did not answer a question for {what} within {self.rules.timeout_seconds:g} s. "
                "Run the same command again: it goes on where it stopped."
            ) from error
        except ConnectionError as error:
            raise MarketDataError(f"the connection to TWS at {self.where} ended: {error}") from error
        except Exception as error:
            # the library's own error class is known only inside its thread
            if isinstance(error, self.thread.sdk.wrapper.RequestError):
                raise Refused(error.code, error.message) from error
            raise

    def close(self) -> None:
        """Hang up and end the thread; twice is once."""
        if self.thread.loop.is_closed():
            return
        with suppress(MarketDataError):
            self.call(self._hang_up(), self.rules.timeout_seconds)
        self.thread.close()

    async def _hang_up(self) -> None:
        ib, self.ib = self.ib, None
        if ib is not None:
            ib.disconnect()


class Refused(MarketDataError):
    """TWS refused one request, with a code."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(told(code, text))

    @property
    def is_pacing(self) -> bool:
        """True when it was asked too fast."""
        return self.code == 162 and "pacing" in self.text.lower()

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to give."""
        return self.code == 162 and "no data" in self.text.lower()


def told(code: int, text: str) -> str:
    """An error in words, with what to do."""
    advice = ADVICE.get(code)
    return f"{text} (error {code})" + (f": {advice}" if advice else "")
