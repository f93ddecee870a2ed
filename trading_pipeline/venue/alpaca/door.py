"""The venue behind Alpaca's protocol: REST, the trade_updates stream, market data; on the engine every door shares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.ports import TradingCalendar
from trading_pipeline.venue.alpaca.account import AccountRoutes
from trading_pipeline.venue.alpaca.activities import ActivityRoutes
from trading_pipeline.venue.alpaca.assets import Assets
from trading_pipeline.venue.alpaca.cancels import Cancels
from trading_pipeline.venue.alpaca.clock import ClockRoutes
from trading_pipeline.venue.alpaca.context import NOT_FOUND, AlpacaError, DoorContext, rendered
from trading_pipeline.venue.alpaca.data import data_routes
from trading_pipeline.venue.alpaca.order_routes import OrderRoutes
from trading_pipeline.venue.alpaca.orders import Orders
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.alpaca.stream import TradeUpdates
from trading_pipeline.venue.alpaca.stream_data import data_streams
from trading_pipeline.venue.door import abortable
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub


class AlpacaDoor:
    """Serve `app` on the hub's event loop. Brackets are Alpaca's only where the venue's legs wait for their entry."""

    def __init__(
        self, hub: Hub, rules: AlpacaDoorRules, calendar: TradingCalendar, faults: Faults | None = None
    ) -> None:
        self.context = DoorContext(hub, rules, calendar, faults)
        self.orders = Orders(hub.venue, calendar, triggered_stops_are_new_orders=rules.triggered_stops_are_new_orders)
        self.orders.route(hub.time.now())
        self.updates = TradeUpdates(self.context, self.orders)
        self._cancels = Cancels(self.context, self.orders, self.updates.tell)
        hub.hear_reports(self._on_reports)
        hub.hear_bars(self._on_bars)
        self.app: ASGIApp = abortable(self._application())

    def _application(self) -> Starlette:
        assets = Assets(self.context)
        orders = OrderRoutes(self.context, self.orders, assets, self._cancels)
        parts = (
            orders, assets, AccountRoutes(self.context, assets, orders), ClockRoutes(self.context),
            ActivityRoutes(self.context, self.orders),
        )  # fmt: skip
        routes = [
            *(route for part in parts for route in part.routes()), *data_routes(self.context),
            *self.updates.routes(), *data_streams(self.context),
        ]  # fmt: skip
        return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})

    def _on_reports(self, reports: Sequence[ExecutionReport]) -> None:
        self.updates.tell(self.orders.hear(reports))

    def _on_bars(self, _: Sequence[MarketBar], now: datetime) -> None:
        self.updates.tell(self.orders.route(now))
        self._cancels.carry_out()


async def _not_found(request: Request, _: Exception) -> Response:
    return rendered(AlpacaError(404, NOT_FOUND, f"endpoint not found: {request.method} {request.url.path}"))
