"""Alpaca's market data over HTTP: bars, trades, quotes, snapshots, corporate actions; nothing later than now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from starlette.routing import Route

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.alpaca.context import AlpacaError, Asked, DoorContext, Handler, Reply
from trading_pipeline.venue.alpaca.data_actions import CorporateActions
from trading_pipeline.venue.alpaca.data_adjustment import Adjuster, kinds_of
from trading_pipeline.venue.alpaca.data_frames import Frame, day_of, frame_of
from trading_pipeline.venue.alpaca.data_past import LOOK_BACK, NoTape, Past
from trading_pipeline.venue.alpaca.data_query import Sight, Window, page_of, sight_of, symbols_of, window_of
from trading_pipeline.venue.alpaca.data_wire import Tick, Wire, bar_wire, quote_at, trades_in
from trading_pipeline.venue.tape import Tape

Items = Callable[[str, datetime, datetime], Iterator[tuple[datetime, Wire]]]
TicksIn = Callable[[MarketBar], list[Tick]]
EXCHANGE_NAMES = {"P": "NYSE Arca", "V": "IEX"}
CONDITION_NAMES = {"trade": {"@": "Regular Sale"}, "quote": {"R": "Regular Market Maker Open"}}


def data_routes(context: DoorContext) -> list[Route]:
    """Every HTTP endpoint of market data, with fault ops `data.bars`, `data.latest_quotes`, `data.snapshots`..."""
    data = _MarketData(context)
    actions = CorporateActions(context.hub.time, data.tape)
    routes = [
        ("/v1/corporate-actions", "corporate_actions", actions.answer),
        ("/v2/stocks/snapshots", "snapshots", data.snapshots),
        ("/v2/stocks/{symbol}/snapshot", "snapshots", data.snapshot),
        ("/v2/stocks/meta/exchanges", "meta", lambda _: Reply(EXCHANGE_NAMES)),
        ("/v2/stocks/meta/conditions/{ticktype}", "meta", _conditions),
    ]
    for kind in ("bars", "trades", "quotes"):
        routes += [
            (f"/v2/stocks/{kind}", kind, data.history(kind)),
            (f"/v2/stocks/{kind}/latest", f"latest_{kind}", data.latest(kind)),
            (f"/v2/stocks/{{symbol}}/{kind}", kind, data.history(kind)),
            (f"/v2/stocks/{{symbol}}/{kind}/latest", f"latest_{kind}", data.latest(kind)),
        ]
    limit = context.data_limit
    return [context.route(path, f"data.{op}", work, limit=limit, in_thread=True) for path, op, work in routes]


class _MarketData:
    """Handlers over the hub's tape."""

    def __init__(self, context: DoorContext) -> None:
        self.tape: Tape = context.hub.tape or NoTape()
        self._time, self._rules = context.hub.time, context.rules

    def history(self, kind: str) -> Handler:
        """Pages of one kind, of symbols in the query or of the one in the path."""
        items_of = {"bars": self._bars, "trades": self._trades, "quotes": self._quotes}[kind]

        def answer(asked: Asked) -> Reply:
            window = window_of(asked, self._time.now(), recent_sip=self._rules.recent_sip)
            found, token = page_of(window, items_of(asked, window))
            if "symbol" not in asked.path:
                return Reply({kind: found, "next_page_token": token})
            (symbol,) = window.symbols
            return Reply({"symbol": symbol, kind: found.get(symbol, []), "next_page_token": token})

        return answer

    def latest(self, kind: str) -> Handler:
        """The newest of one kind; a symbol without one is left out."""

        def answer(asked: Asked) -> Reply:
            sight, symbols = self._sight(asked), symbols_of(asked)
            past = self._past(sight)
            found = {symbol: self._newest(kind, past, bar, sight) for symbol in symbols if (bar := past.newest(symbol))}
            if "symbol" not in asked.path:
                return Reply({kind: found})
            (symbol,) = symbols
            return Reply({"symbol": symbol, kind.removesuffix("s"): _found(found, symbol, kind)})

        return answer

    def snapshots(self, asked: Asked) -> Reply:
        """Newest trade, quote, bar, day and the day before, of each symbol that has traded."""
        return Reply(self._snapshots(asked))

    def snapshot(self, asked: Asked) -> Reply:
        """As `snapshots`, of one."""
        (symbol,) = symbols_of(asked)
        return Reply({"symbol": symbol, **_found(self._snapshots(asked), symbol, "snapshots")})

    def _snapshots(self, asked: Asked) -> dict[str, Wire]:
        sight = self._sight(asked)
        past = self._past(sight)
        return {
            symbol: self._snapshot(past, symbol, bar, sight)
            for symbol in symbols_of(asked)
            if (bar := past.newest(symbol))
        }

    def _snapshot(self, past: Past, symbol: str, bar: MarketBar, sight: Sight) -> Wire:
        days = list(past.bars(symbol, Frame(1, "Day"), sight.until - LOOK_BACK, sight.until))[-2:]
        newest = {
            "latestTrade": self._newest("trades", past, bar, sight),
            "latestQuote": self._newest("quotes", past, bar, sight),
            "minuteBar": self._newest("bars", past, bar, sight),
        }
        return newest | dict(zip(("dailyBar", "prevDailyBar"), map(bar_wire, reversed(days)), strict=False))

    def _newest(self, kind: str, past: Past, bar: MarketBar, sight: Sight) -> Wire:
        if kind == "bars":
            return bar_wire(past.told(bar))
        if kind == "trades":
            return trades_in(bar, sight.feed)[-1].wire
        return quote_at(bar, sight.feed, self._rules.quote_spread_fraction).wire

    def _bars(self, asked: Asked, window: Window) -> Items:
        now = self._time.now()
        frame, past = frame_of(asked.query.get("timeframe", "")), self._past(window.sight)
        adjuster = Adjuster(self.tape, kinds_of(asked.query.get("adjustment", "raw")), day_of(now))

        def items(symbol: str, first: datetime, last: datetime) -> Iterator[tuple[datetime, Wire]]:
            bars = past.bars(symbol, frame, first, last, descending=window.descending)
            return ((bar.start_at, bar_wire(bar)) for bar in adjuster.adjusted(symbol, bars))

        return items

    def _trades(self, _: Asked, window: Window) -> Items:
        return self._ticks(window, lambda bar: trades_in(bar, window.sight.feed))

    def _quotes(self, _: Asked, window: Window) -> Items:
        return self._ticks(window, lambda bar: [quote_at(bar, window.sight.feed, self._rules.quote_spread_fraction)])

    def _ticks(self, window: Window, ticks_in: TicksIn) -> Items:
        past = self._past(window.sight)

        def items(symbol: str, first: datetime, last: datetime) -> Iterator[tuple[datetime, Wire]]:
            bars = past.base_in_turn(symbol, first, last, descending=window.descending)
            ticks = (tick for bar in bars for tick in _in_turn(ticks_in(bar), descending=window.descending))
            return ((tick.at, tick.wire) for tick in ticks if first <= tick.at <= last)

        return items

    def _past(self, sight: Sight) -> Past:
        if sight.feed == "iex":
            return Past(self.tape, sight.until, self._rules.iex_volume_fraction)
        return Past(self.tape, sight.until)

    def _sight(self, asked: Asked) -> Sight:
        """Feed sip's last 15 minutes are refused to plans without them, as the real one does."""
        now, recent_sip = self._time.now(), self._rules.recent_sip
        sight = sight_of(asked, now, recent_sip=recent_sip, default="sip" if recent_sip else "iex")
        if asked.query.get("feed") == "sip" and sight.until < now:
            raise AlpacaError(403, None, "subscription does not permit querying recent SIP data")
        return sight


def _in_turn(ticks: list[Tick], *, descending: bool) -> list[Tick]:
    return ticks[::-1] if descending else ticks


def _found(found: Mapping[str, Wire], symbol: str, kind: str) -> Wire:
    if symbol not in found:
        raise AlpacaError(404, None, f"no {kind.removesuffix('s')} found for {symbol}")
    return found[symbol]


def _conditions(asked: Asked) -> Reply:
    names = CONDITION_NAMES.get(asked.path["ticktype"])
    if names is None or asked.query.get("tape") not in {"A", "B", "C"}:
        raise AlpacaError(400, None, "invalid ticktype or tape")
    return Reply(names)
