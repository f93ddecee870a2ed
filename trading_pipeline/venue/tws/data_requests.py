"""What clients ask of the market: ticks, five-second bars, historical bars; depth is not carried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws import checks
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Asked, Contracts, Stock
from trading_pipeline.venue.tws.history import PACING, BarRequest, bars_for, historical_data, historical_update
from trading_pipeline.venue.tws.order_messages import error
from trading_pipeline.venue.tws.pacing import BarPacing
from trading_pipeline.venue.tws.requests import Request
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.session import Session
from trading_pipeline.venue.tws.streams import DELAY, Stream, Streams
from trading_pipeline.venue.tws.ticks import DELAYED_TYPE, LIVE_TYPE, five_second_bars, real_time_bar, ticks_of
from trading_pipeline.venue.tws.wire import Fields, Message

NO_DEPTH = "Deep market data is not supported for this combination of security type/exchange"
NO_DEPTH_ID = "Can't find the subscribed market depth with tickerId"
TOO_MANY = "Max number of tickers has been reached"
NOT_SUBSCRIBED = "Requested market data is not subscribed."
NOT_FOR_API = (
    "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog for "
    "more details.Delayed market data is available."
)
SHOWS_DELAYED = "Requested market data is not subscribed. Displaying delayed market data."
RT_VOLUME_TICKS = "233"
LOOK_BACK = timedelta(days=7)


class DataRequests:
    """Market data for clients."""

    def __init__(self, hub: Hub, contracts: Contracts, rules: TwsDoorRules, streams: Streams) -> None:
        self._hub, self._contracts, self._rules, self._streams = hub, contracts, rules, streams
        self._pacing = BarPacing(rules.historical_requests)
        self.table: Mapping[int, Request] = {
            1: Request("data.live", self._ticks, id_at=2),
            2: Request("data.live", self._end(300, "Can't find EId with tickerId:{}"), id_at=2),
            10: Request("data.depth", _refuse(10092, NO_DEPTH), id_at=2),
            11: Request("data.depth", _refuse(310, NO_DEPTH_ID), id_at=2),
            20: Request("data.bars", self._bars, id_at=1),
            25: Request("data.bars", self._end(366, "No historical data query found for ticker id:{}"), id_at=2),
            50: Request("data.live", self._five_seconds, id_at=2),
            51: Request("data.live", self._end(300, "Can't find EId with tickerId:{}"), id_at=2),
            59: Request("data.live", self._market_data_type),
        }

    def _stock(self, fields: Fields) -> Stock:
        stock = self._contracts.find(Asked.read(fields))
        if stock is None:
            raise Trouble(200, checks.NO_CONTRACT)
        return stock

    def _ticks(self, session: Session, fields: Fields) -> None:
        request_id, stock = _id(fields), self._stock(fields.to(3))
        is_snapshot, with_volume = fields[17] == "1", RT_VOLUME_TICKS in fields[16].split(",")
        is_delayed = self._delayed(session, request_id)

        def render(bar: MarketBar) -> Iterable[Message]:
            return ticks_of(request_id, bar, is_delayed=is_delayed, with_rt_volume=with_volume)

        if not is_snapshot and not self._streams.add(Stream(session, request_id, stock.symbol, render, is_delayed)):
            raise Trouble(101, TOO_MANY)
        kind = DELAYED_TYPE if is_delayed else LIVE_TYPE
        session.say((81, request_id, 0.01, "9c0001", 3), (58, 1, request_id, kind))
        last = self._last(stock, is_delayed=is_delayed)
        session.say(*(render(last) if last else ()), *([(57, 1, request_id)] if is_snapshot else []))

    def _last(self, stock: Stock, *, is_delayed: bool) -> MarketBar | None:
        """The newest bar a client may see: of those delivered here, else of the tape's last week."""
        now, tape = self._hub.time.now(), self._hub.tape
        found = self._streams.last(stock.symbol, now, is_delayed=is_delayed)
        base = tape.base_timeframe() if tape is not None and found is None else None
        if tape is None or base is None:
            return found
        ends_by = now - DELAY if is_delayed else now
        bars = [bar for bar in tape.bars(stock.symbol, base, now - LOOK_BACK, now) if bar.end_at <= ends_by]
        return bars[-1] if bars else None

    def _delayed(self, session: Session, request_id: int) -> bool:
        """Whether what is asked for comes delayed. Raises Trouble when it does not come at all."""
        if self._rules.market_data == "live":
            return False
        if self._rules.market_data == "none":
            raise Trouble(354, NOT_SUBSCRIBED)
        if session.market_data_type < DELAYED_TYPE:
            raise Trouble(10089, NOT_FOR_API)
        session.say(error(request_id, 10167, SHOWS_DELAYED))
        return True

    def _five_seconds(self, session: Session, fields: Fields) -> None:
        request_id, stock = _id(fields), self._stock(fields.to(3))
        if self._rules.market_data != "live":
            raise Trouble(420, "Invalid Real-time Query:No market data permissions for NASDAQ STK")

        def render(bar: MarketBar) -> Iterable[Message]:
            return [real_time_bar(request_id, piece) for piece in five_second_bars(bar)]

        if not self._streams.add(Stream(session, request_id, stock.symbol, render)):
            raise Trouble(101, TOO_MANY)

    def _bars(self, session: Session, fields: Fields) -> None:
        stock, asked = self._stock(fields.to(2)), BarRequest.read(fields)
        asked.check()
        series = (stock.symbol, asked.contract.exchange, asked.what)
        request = (*series, asked.end, asked.bar_size, asked.duration)
        if self._rules.historical_pacing and self._pacing.is_violated(request, series, asked.weight):
            raise Trouble(162, PACING)
        bars = bars_for(self._hub.tape, asked, stock, self._hub.time.now())
        session.say(historical_data(asked, bars))
        if asked.keeps_up_to_date:
            self._keep_up(session, asked, stock)

    def _keep_up(self, session: Session, asked: BarRequest, stock: Stock) -> None:
        """Bars of the size asked for; the market delivers its base bars only."""
        length = asked.timeframe.length

        def render(bar: MarketBar) -> Iterable[Message]:
            return [historical_update(asked, bar)] if bar.end_at - bar.start_at == length else []

        self._streams.add(Stream(session, asked.request_id, stock.symbol, render, takes_line=False))

    def _market_data_type(self, session: Session, fields: Fields) -> None:
        session.market_data_type = fields.to(2).whole()

    def _end(self, code: int, text: str) -> Callable[[Session, Fields], None]:
        def run(session: Session, fields: Fields) -> None:
            if not self._streams.end(session, _id(fields)):
                raise Trouble(code, text.format(_id(fields)))

        return run


def _id(fields: Fields) -> int:
    return fields.to(2).whole()


def _refuse(code: int, text: str) -> Callable[[Session, Fields], None]:
    def run(_: Session, __: Fields) -> None:
        raise Trouble(code, text)

    return run
