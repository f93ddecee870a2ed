"""History and quotes from Interactive Brokers: bars of trades in regular hours, adjusted for splits by IB itself.

IB has no list of corporate actions to give: splits and dividends are imported, or fetched elsewhere.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from trading_pipeline.adapters.market_data.frames import NUMBERS, in_regular_hours
from trading_pipeline.adapters.market_data.ib_line import IDENTICAL_SECONDS, IbLine, Refused
from trading_pipeline.analytics.bars import ACTION_COLUMNS
from trading_pipeline.analytics.schemas import SESSION_NS
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import Adjustment, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.money import to_price
from trading_pipeline.ports import BarDelivery, Clock, RequestSize

BAR_SIZES = {Timeframe.MIN1: "1 min", Timeframe.MIN5: "5 mins", Timeframe.DAY1: "1 day"}
SIZES = {Timeframe.MIN1: RequestSize(1, 1), Timeframe.MIN5: RequestSize(1, 5), Timeframe.DAY1: RequestSize(1, 250)}
"""One symbol a request; so many sessions as IB gives of that bar size at once."""
ATTEMPTS = 3
SNAPSHOT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 700.0
"""Of one question: ten minutes of pacing, and its answer."""


class IbMarketData:
    """Implements MarketDataSource on one connection of its own."""

    name = "ib"

    def __init__(self, rules: IbRules, clock: Clock) -> None:
        self._clock, self.line = clock, IbLine(rules)
        self._contracts: dict[str, Any] = {}

    def feed(self, timeframe: Timeframe) -> str:  # noqa: ARG002
        """What IB consolidates."""
        return "ib"

    def request_size(self, timeframe: Timeframe) -> RequestSize:
        """The most one call of `bars` may ask for."""
        return SIZES[timeframe]

    def available_until(self, timeframe: Timeframe, now: datetime) -> datetime:  # noqa: ARG002
        """IB gives bars up to now."""
        return now

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> BarDelivery:
        """Bars of trades, split-adjusted through today, one paced request after the other."""
        found, refused = [_rows("", [], timeframe)], dict[str, str]()
        for symbol in symbols:
            try:
                bars = self.line.call(self._history(symbol, timeframe, sessions, now), LONGEST_WAIT_SECONDS)
            except Refused as refusal:
                refused[symbol] = str(refusal)
            else:
                found.append(_rows(symbol, bars, timeframe))
        rows = in_regular_hours(pd.concat(found, ignore_index=True), timeframe, sessions)
        return BarDelivery(
            bars=rows, feed="ib", adjustment=Adjustment.SPLIT, adjusted_through=now.date(), refused=refused
        )

    def actions(
        self,
        symbols: Sequence[str],  # noqa: ARG002
        first: date,  # noqa: ARG002
        last: date,  # noqa: ARG002
    ) -> tuple[pd.DataFrame, Mapping[str, int]]:
        """None: IB has no such list."""
        columns = {"symbol": "str", "ex_date": SESSION_NS, "kind": "str", "value": "float64"}
        return pd.DataFrame(columns=list(ACTION_COLUMNS)).astype(columns), {}

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Bid, ask and last by snapshots, which give their lines back themselves; as many at once as there are lines.

        Raises MarketDataError when every symbol was refused.
        """
        quotes, refusals = dict[str, Quote](), list[Refused]()
        most = self.line.rules.market_data_lines
        for at in range(0, len(symbols), most):
            some = self.line.call(self._snapshots(symbols[at : at + most]), SNAPSHOT_SECONDS)
            refusals += [one for one in some if isinstance(one, Refused)]
            quotes |= {one.symbol: one for one in some if isinstance(one, Quote)}
        if refusals and not quotes:
            raise MarketDataError(f"Interactive Brokers gives no quotes: {refusals[0]}")
        return quotes

    def close(self) -> None:
        """Hang up."""
        self.line.close()

    async def contract(self, symbol: str) -> Any:
        """The contract a symbol names, looked up once; raises Refused when there is none."""
        if symbol not in self._contracts:
            ib = await self.line.connected()
            stock = self.line.thread.sdk.Stock(symbol.replace(".", " "), "SMART", "USD")
            details = await self.line.asked(f"the contract of {symbol}", ib.reqContractDetailsAsync(stock))
            if not details:
                raise Refused(200, f"no contract of {symbol}")
            self._contracts[symbol] = details[0].contract
        return self._contracts[symbol]

    async def _history(
        self, symbol: str, timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> list[Any]:
        contract = await self.contract(symbol)
        end = min(sessions[-1].closes_at, now)
        asked = (symbol, timeframe, end, len(sessions))
        for attempt in range(1, ATTEMPTS + 1):
            await self.line.pacing.take(symbol, asked)
            ib = await self.line.connected()
            request = ib.reqHistoricalDataAsync(
                contract, endDateTime=end.astimezone(UTC), durationStr=f"{len(sessions)} D",
                barSizeSetting=BAR_SIZES[timeframe], whatToShow="TRADES", useRTH=True, formatDate=2, timeout=0,
            )  # fmt: skip
            try:
                return list(await self.line.asked(f"{timeframe} bars of {symbol}", request))
            except Refused as refusal:
                if refusal.is_empty:
                    return []
                if not refusal.is_pacing or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(IDENTICAL_SECONDS)
        return []

    async def _snapshots(self, symbols: Sequence[str]) -> list[Quote | Refused | None]:
        return list(await asyncio.gather(*(self._snapshot(symbol) for symbol in symbols)))

    async def _snapshot(self, symbol: str) -> Quote | Refused | None:
        try:
            contract = await self.contract(symbol)
            ib = await self.line.connected()
            (ticker,) = await self.line.asked(f"a quote of {symbol}", ib.reqTickersAsync(contract))
        except Refused as refusal:
            return refusal
        last = ticker.last if _is_price(ticker.last) else ticker.close
        if not _is_price(last):
            return None
        at = ticker.time.astimezone(UTC) if ticker.time is not None else self._clock.now()
        return Quote(symbol, to_price(float(last)), at, _side(ticker.bid), _side(ticker.ask))


def _rows(symbol: str, bars: Sequence[Any], timeframe: Timeframe) -> pd.DataFrame:
    """Bars of one symbol as a delivery's frame; a day is a date, anything finer an instant."""
    columns = ["symbol", "time", *NUMBERS]
    rows = [
        (symbol, bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.barCount)
        for bar in bars
    ]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(NUMBERS, "float64") | {"symbol": "str"})
    if timeframe is Timeframe.DAY1:
        return frame.astype({"time": SESSION_NS})
    return frame.assign(time=pd.to_datetime(frame["time"], utc=True).dt.as_unit("ns"))


def _is_price(price: float) -> bool:
    return math.isfinite(price) and price > 0


def _side(price: float) -> Decimal | None:
    return to_price(float(price)) if _is_price(price) else None
