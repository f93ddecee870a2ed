"""Which broker trades, where it is, and how hard it may be asked. Keys are secrets: best given in the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

NO_SECRET = SecretStr("")
LIVE_KEY, PAPER_KEY = "AK", "PK"
"""How the ids of Alpaca's keys begin."""
_VARIABLE = "TRADING_PIPELINE__BROKER__ALPACA__"


def _text(secret: SecretStr) -> str:
    return secret.get_secret_value().strip()


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlpacaRules(_Frozen):
    """Alpaca: REST for orders and history, WebSockets for news of both."""

    key_id: SecretStr = Field(NO_SECRET, description="paper; best given as TRADING_PIPELINE__BROKER__ALPACA__KEY_ID")
    secret_key: SecretStr = Field(NO_SECRET, description="paper; best as TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY")
    live_key_id: SecretStr = Field(
        NO_SECRET, description="of mode live alone; best given as TRADING_PIPELINE__BROKER__ALPACA__LIVE_KEY_ID"
    )
    live_secret_key: SecretStr = Field(
        NO_SECRET, description="of mode live alone; best as TRADING_PIPELINE__BROKER__ALPACA__LIVE_SECRET_KEY"
    )
    trading_url: str = Field("https://paper-api.alpaca.markets", description="orders and account; paper by default")
    trading_stream_url: str = Field("wss://paper-api.alpaca.markets/stream", description="news of orders")
    data_url: str = Field("https://data.alpaca.markets", description="bars and quotes")
    data_stream_url: str = Field("wss://stream.data.alpaca.markets/v2", description="live bars; the feed is appended")
    feed: Literal["iex", "sip"] = Field("iex", description="iex: one exchange's 3 % of the volume; sip: all of it")
    requests_per_minute: int = Field(180, ge=1, le=1_000_000, description="orders and account; Alpaca allows 200")
    data_requests_per_minute: int = Field(180, ge=1, le=1_000_000, description="bars and quotes; free plans: 200")
    timeout_seconds: float = Field(5.0, gt=0, le=120, description="of one request; the client library has none")
    stream_silence_seconds: float = Field(30.0, gt=0, le=3600, description="a stream mute for longer is reopened")

    @property
    def longest_wait_seconds(self) -> float:
        """For one answer: a question whose answer broke off is asked once more."""
        return 2 * self.timeout_seconds

    def of_mode(self, mode: str) -> AlpacaRules:
        """The same with the keys that execution.mode `mode` uses as its keys: the live ones in live alone."""
        if mode != "live":
            return self
        return self.model_copy(update={"key_id": self.live_key_id, "secret_key": self.live_secret_key})

    def key_faults(self, mode: str) -> tuple[str, ...]:
        """What is wrong with the keys for trading in that mode, naming variables; nothing when they fit.

        Alpaca's paper keys begin with PK and live ones with AK: neither is ever taken for the other.
        """
        prefix, paper, live = f"{_VARIABLE}LIVE_", _text(self.key_id), _text(self.live_key_id)
        faults = []
        if paper.startswith(LIVE_KEY):
            faults.append(f"{_VARIABLE}KEY_ID holds a live key (it begins with {LIVE_KEY}): paper keys belong there")
        if live.startswith(PAPER_KEY):
            faults.append(f"{prefix}KEY_ID holds a paper key (it begins with {PAPER_KEY}): live keys belong there")
        if mode == "live" and (not live or not _text(self.live_secret_key)):
            faults.append(f"no live keys are set: {prefix}KEY_ID and {prefix}SECRET_KEY")
        elif mode == "live" and not live.startswith((LIVE_KEY, PAPER_KEY)):
            faults.append(f"{prefix}KEY_ID does not begin with {LIVE_KEY}: it is no live key of Alpaca's")
        return tuple(faults)


class IbRules(_Frozen):
    """Interactive Brokers: the socket of a TWS or IB Gateway that is running and logged in."""

    host: str = Field("127.0.0.1", min_length=1, description="where TWS or IB Gateway runs")
    port: int = Field(4002, ge=1, le=65_535, description="Gateway: 4002 paper, 4001 live; TWS: 7497, 7496")
    client_id: int = Field(11, ge=1, le=999, description="of orders; one connection at a time may use it")
    data_client_id: int = Field(12, ge=1, le=999, description="of market data")
    messages_per_second: int = Field(25, ge=1, le=100_000, description="IB disconnects above 50")
    timeout_seconds: float = Field(10.0, gt=0, le=120, description="of one answer")
    market_data_lines: int = Field(100, ge=1, le=10_000, description="streams at the same time")
    historical_requests_per_10_minutes: int = Field(55, ge=1, le=1_000_000, description="IB allows 60")

    @property
    def longest_wait_seconds(self) -> float:
        """For one answer: connecting and what belongs to a request are several of TWS's, then it is given up."""
        return 6 * self.timeout_seconds


class BrokerRules(_Frozen):
    """Where orders go. simulated: the venue of this home, or the one named by --venue-url."""

    name: Literal["simulated", "alpaca", "ib"] = Field("simulated", description="who executes")
    account_id: str = Field(
        "", description="the broker's own number of the account; another one is refused. Mode live needs it"
    )
    alpaca: AlpacaRules = AlpacaRules()
    ib: IbRules = IbRules()
