"""History from Alpaca: raw bars, corporate actions, latest quotes.

Feeds: daily bars are always consolidated (sip), for volume rules judge by them. Intraday bars are of the configured
feed, the one that streams live: today's volume is only comparable with a past measured the same way. A plan without
recent sip (feed: iex) gets sip history until 16 minutes ago.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment as AlpacaAdjustment
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest, StockSnapshotRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from trading_pipeline.adapters.market_data.frames import bar_rows, in_regular_hours
from trading_pipeline.adapters.market_data.http import pace
from trading_pipeline.analytics.schemas import SESSION_NS
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import InputError, MarketDataError
from trading_pipeline.domain.market import Quote, SessionTimes, Timeframe
from trading_pipeline.domain.money import to_price
from trading_pipeline.ports import BarDelivery, RequestSize

EXCHANGE = ZoneInfo("America/New_York")
CONSOLIDATED = "sip"
FREE_DELAY = timedelta(minutes=16)
TIMEFRAMES = {
    Timeframe.MIN1: TimeFrame(1, TimeFrameUnit.Minute),
    Timeframe.MIN5: TimeFrame(5, TimeFrameUnit.Minute),
    Timeframe.DAY1: TimeFrame(1, TimeFrameUnit.Day),
}
SIZES = {
    Timeframe.MIN1: RequestSize(200, 1),
    Timeframe.MIN5: RequestSize(200, 5),
    Timeframe.DAY1: RequestSize(200, 250),
}
"""Ten to twenty pages of 10,000 bars: half a minute at most, which is what a crash costs."""
FIELDS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "trade_count": "n"}
INVALID = re.compile(r"invalid symbols?[^:]*:\s*([^\"}]+)", re.IGNORECASE)
APPLIED = {"forward_splits", "reverse_splits", "stock_dividends", "cash_dividends"}


class AlpacaMarketData:
    """Implements MarketDataSource over alpaca-py's clients; it reads raw answers: an unknown field harms nothing."""

    name = "alpaca"

    def __init__(self, rules: AlpacaRules) -> None:
        """Raises InputError when no keys are set; asks nothing yet."""
        key, secret = rules.key_id.get_secret_value(), rules.secret_key.get_secret_value()
        if not key or not secret:
            raise InputError(
                "no Alpaca keys are set. Put them into the environment: TRADING_PIPELINE__BROKER__ALPACA__KEY_ID and "
                "TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY"
            )
        self._rules = rules
        self._bars = StockHistoricalDataClient(key, secret, raw_data=True, url_override=rules.data_url)
        self._actions = CorporateActionsClient(key, secret, raw_data=True, url_override=rules.data_url)
        self._actions._session = self._bars._session  # one budget for both
        self._bars._retry = self._actions._retry = 0  # what is mounted below repeats, with back-off
        pace(self._bars._session, rules.data_requests_per_minute, rules.timeout_seconds)

    def feed(self, timeframe: Timeframe) -> str:
        """sip for daily bars; else the configured feed."""
        return CONSOLIDATED if timeframe is Timeframe.DAY1 else self._rules.feed

    def request_size(self, timeframe: Timeframe) -> RequestSize:
        """The most one call of `bars` may ask for."""
        return SIZES[timeframe]

    def available_until(self, timeframe: Timeframe, now: datetime) -> datetime:
        """Now, or 16 minutes ago for consolidated bars on a plan that streams iex."""
        delayed = self.feed(timeframe) == CONSOLIDATED and self._rules.feed != CONSOLIDATED
        return now - FREE_DELAY if delayed else now

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> BarDelivery:
        """Raw bars of whole sessions, the running one up to what the plan gives; pages are followed to the end."""
        first, last = sessions[0], min(sessions[-1].closes_at, self.available_until(timeframe, now))
        start = _midnight(first.session) if timeframe is Timeframe.DAY1 else first.opens_at
        refused: dict[str, str] = {}
        answer: Mapping[str, Any] = {}
        while start < last and (asked := [symbol for symbol in symbols if symbol not in refused]):
            request = StockBarsRequest(
                symbol_or_symbols=asked, timeframe=TIMEFRAMES[timeframe], start=start, end=last,
                adjustment=AlpacaAdjustment.RAW, feed=DataFeed(self.feed(timeframe)),
            )  # fmt: skip
            try:
                answer = self._ask("bars", partial(self._bars.get_stock_bars, request))
                break
            except _InvalidSymbols as error:
                refused |= dict.fromkeys(error.among(asked), "Alpaca does not know this symbol")
        found = {symbol: rows for symbol in symbols if isinstance(rows := (answer or {}).get(symbol), list)}
        rows = bar_rows(found, FIELDS, daily=timeframe is Timeframe.DAY1, time="t", zone=EXCHANGE)
        return BarDelivery(
            bars=in_regular_hours(rows, timeframe, sessions), feed=self.feed(timeframe), refused=refused
        )  # fmt: skip

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[pd.DataFrame, Mapping[str, int]]:
        """Splits, share dividends (as splits) and cash dividends; the rest is counted by kind."""
        found: dict[str, list[Any]] = {}
        for at in range(0, len(symbols), 100):
            request = CorporateActionsRequest(symbols=list(symbols[at : at + 100]), start=first, end=last)
            answer = self._ask("corporate actions", partial(self._actions.get_corporate_actions, request))
            for kind, rows in (answer or {}).items():
                found.setdefault(kind, []).extend(rows)
        others = {kind: len(rows) for kind, rows in sorted(found.items()) if kind not in APPLIED and rows}
        return _action_frame(found), others

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Last trade with bid and ask beside it, of the configured feed; one request for all symbols."""
        request = StockSnapshotRequest(symbol_or_symbols=list(symbols), feed=DataFeed(self._rules.feed))
        answer = self._ask("snapshots", partial(self._bars.get_stock_snapshot, request))
        quotes = (_quote(symbol, one or {}) for symbol, one in sorted((answer or {}).items()))
        return {quote.symbol: quote for quote in quotes if quote is not None}

    def close(self) -> None:
        """Give connections back."""
        self._bars._session.close()

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        """The vendor's answer; raises MarketDataError that says what to do."""
        try:
            return call()
        except APIError as error:
            raise _refusal(what, error) from error
        except requests.RequestException as error:
            raise MarketDataError(
                f"Alpaca did not answer a question for {what} at {self._rules.data_url} ({type(error).__name__}), "
                "though it was repeated. Look at https://status.alpaca.markets and at broker.alpaca.data_url; then run "
                "the same command again: it goes on where it stopped."
            ) from error
        except ValueError as error:  # an answer that is not JSON
            raise MarketDataError(
                f"Alpaca's answer to a question for {what} cannot be read: {str(error)[:120]}. A proxy may stand "
                "between; run the same command again."
            ) from error


class _InvalidSymbols(MarketDataError):
    """A request named symbols that are none."""

    def among(self, asked: Sequence[str]) -> list[str]:
        """Which of the symbols asked for are meant; raises the refusal itself when it names none of them."""
        named = {part.strip(" []") for part in str(self).split(",")}
        found = [symbol for symbol in asked if symbol in named]
        if not found:
            raise MarketDataError(f"Alpaca refuses a question: invalid symbol {self}") from self
        return found


def _refusal(what: str, error: APIError) -> MarketDataError:
    status, text = error.status_code, str(error)
    if status == requests.codes.unauthorized or (status == requests.codes.forbidden and "subscription" not in text):
        return MarketDataError(
            f"Alpaca refuses the keys (HTTP {status}). Make new ones in its dashboard and set "
            "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID and __SECRET_KEY; paper keys do for data."
        )
    if status == requests.codes.forbidden:
        return MarketDataError(
            f"Alpaca: this plan may not have {what} of the sip feed as new as that. Set broker.alpaca.feed: iex (then "
            "history ends 16 minutes ago), or subscribe to the full feed."
        )
    named = INVALID.search(text)
    if status in {requests.codes.bad_request, requests.codes.unprocessable} and named:
        return _InvalidSymbols(named.group(1))
    return MarketDataError(f"Alpaca refuses a question for {what} (HTTP {status}): {text[:200]}")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=EXCHANGE).astimezone(UTC)


def _action_frame(found: Mapping[str, Iterable[Mapping[str, Any]]]) -> pd.DataFrame:
    rows = [
        (one["symbol"], one["ex_date"], *_applied(kind, one))
        for kind in sorted(APPLIED)
        for one in found.get(kind, ())
        if one.get("ex_date")
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "ex_date", "kind", "value"])
    frame = frame.astype({"symbol": "str", "ex_date": SESSION_NS, "kind": "str", "value": "float64"})
    # two dividends of one day are paid together
    paid = frame[frame["kind"] == "dividend"].groupby(["symbol", "ex_date", "kind"], as_index=False)["value"].sum()
    together: pd.DataFrame = pd.concat([frame[frame["kind"] == "split"], paid[paid["value"] > 0]], ignore_index=True)
    return together


def _applied(kind: str, one: Mapping[str, Any]) -> tuple[str, float]:
    if kind == "cash_dividends":
        return "dividend", float(one["rate"])
    if kind == "stock_dividends":
        return "split", 1.0 + float(one["rate"])
    return "split", float(one["new_rate"]) / float(one["old_rate"])


def _quote(symbol: str, snapshot: Mapping[str, Any]) -> Quote | None:
    """The symbol's last trade with bid and ask; None when it has not traded."""
    trade, quote = snapshot.get("latestTrade") or {}, snapshot.get("latestQuote") or {}
    if not trade.get("p"):
        return None
    at = pd.Timestamp(trade["t"]).to_pydatetime().astimezone(UTC)
    return Quote(symbol, to_price(float(trade["p"])), at, _side(quote.get("bp")), _side(quote.get("ap")))


def _side(price: float | None) -> Decimal | None:
    return to_price(float(price)) if price else None
