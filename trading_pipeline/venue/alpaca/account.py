"""/v2/account and /v2/positions: what the account has."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from starlette.routing import Route

from trading_pipeline.domain.money import CENT, ZERO, plain
from trading_pipeline.ports import VenuePosition
from trading_pipeline.venue.alpaca.assets import Assets
from trading_pipeline.venue.alpaca.context import NOT_FOUND, AlpacaError, Asked, DoorContext, Reply
from trading_pipeline.venue.alpaca.order_routes import OrderRoutes, market_exit
from trading_pipeline.venue.alpaca.rendering import order_json
from trading_pipeline.venue.alpaca.requests import flag, invalid
from trading_pipeline.venue.alpaca.wire import NEW_YORK, asset_id, uuid_of

FINEST = Decimal("1e-10")
PERCENT = Decimal(100)


class AccountRoutes:
    """One long-only account. Closing a position is a market order of its own."""

    def __init__(self, context: DoorContext, assets: Assets, orders: OrderRoutes) -> None:
        self._context, self._hub, self._assets, self._orders = context, context.hub, assets, orders

    def routes(self) -> list[Route]:
        route = self._context.route
        return [
            route("/v2/account", "account", self.account),
            route("/v2/account/configurations", "account.configurations", self.configurations),
            route("/v2/positions", "positions.list", self.positions),
            route("/v2/positions", "positions.close_all", self.close_all, method="DELETE"),
            route("/v2/positions/{symbol_or_id}", "positions.get", self.position),
            route("/v2/positions/{symbol_or_id}", "positions.close", self.close, method="DELETE"),
        ]

    def account(self, asked: Asked) -> Reply:  # noqa: ARG002
        """The engine keeps no figures of the day before: last_equity is today's."""
        venue, rules = self._hub.venue, self._context.rules
        told, held_usd = venue.account(), venue.book().holdings_usd()
        equity, margin = plain(told.equity_usd), plain((held_usd / 2).quantize(CENT))
        return Reply(
            {
                "id": uuid_of(told.account, "account"),
                "account_number": told.account,
                "status": "ACTIVE",
                "crypto_status": "INACTIVE",
                "currency": "USD",
                "cash": plain(told.cash_usd),
                "equity": equity,
                "last_equity": equity,
                "portfolio_value": equity,
                "long_market_value": plain(held_usd),
                "short_market_value": "0",
                "buying_power": plain(told.buying_power_usd),
                "regt_buying_power": plain(told.buying_power_usd),
                "non_marginable_buying_power": plain(max(told.cash_usd, ZERO)),
                "options_buying_power": "0",
                "initial_margin": margin,
                "maintenance_margin": margin,
                "last_maintenance_margin": margin,
                "sma": "0",
                "accrued_fees": "0",
                "pending_reg_taf_fees": "0",
                "intraday_adjustments": "0",
                "multiplier": plain(venue.rules.buying_power_multiple),
                "shorting_enabled": False,
                "account_blocked": rules.account_blocked,
                "trading_blocked": rules.trading_blocked,
                "transfers_blocked": rules.account_blocked,
                "trade_suspended_by_user": rules.trade_suspended_by_user,
                "options_approved_level": 0,
                "options_trading_level": 0,
                "balance_asof": f"{self._hub.time.now().astimezone(NEW_YORK):%Y-%m-%d}",
                "created_at": "2019-06-12T22:47:07.99658Z",
            }
        )

    def configurations(self, asked: Asked) -> Reply:  # noqa: ARG002
        return Reply(
            {
                "disable_overnight_trading": True,
                "fractional_trading": False,
                "max_margin_multiplier": plain(self._hub.venue.rules.buying_power_multiple),
                "max_options_trading_level": 0,
                "no_shorting": True,
                "ptp_no_exception_entry": False,
                "suspend_trade": self._context.rules.trade_suspended_by_user,
                "trade_confirm_email": "none",
            }
        )

    # positions

    def positions(self, asked: Asked) -> Reply:  # noqa: ARG002
        return Reply([self._position(held) for held in self._hub.venue.positions()])

    def position(self, asked: Asked) -> Reply:
        return Reply(self._position(self._held(asked)))

    def close(self, asked: Asked) -> Reply:
        held = self._held(asked)
        order = self._orders.send(market_exit(held.symbol, _part(held.quantity, asked)))
        return Reply(order_json(self._orders.orders, order))

    def close_all(self, asked: Asked) -> Reply:
        if flag(asked.query, "cancel_orders"):
            self._orders.cancel_open()
        return Reply([self._closed(held) for held in self._hub.venue.positions()], 207)

    def _closed(self, held: VenuePosition) -> dict[str, Any]:
        try:
            order = self._orders.send(market_exit(held.symbol, held.quantity))
        except AlpacaError as error:
            return {"symbol": held.symbol, "status": error.status, "body": error.body}
        return {"symbol": held.symbol, "status": 200, "body": order_json(self._orders.orders, order)}

    def _held(self, asked: Asked) -> VenuePosition:
        symbol = self._assets.symbol_of(asked.path["symbol_or_id"])
        found = next((held for held in self._hub.venue.positions() if held.symbol == symbol), None)
        if found is None:
            raise AlpacaError(404, NOT_FOUND, "position does not exist")
        return found

    def _position(self, held: VenuePosition) -> dict[str, Any]:
        """Of the day before nothing is known: today's change is told as nil."""
        book = self._hub.venue.book()
        price = book.marks[held.symbol].price
        cost, value = held.quantity * held.avg_px, held.quantity * price
        gain = value - cost
        return {
            "asset_id": asset_id(held.symbol),
            "symbol": held.symbol,
            "exchange": "NASDAQ",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": plain(held.quantity),
            "qty_available": plain(book.sellable(held.symbol)),
            "avg_entry_price": _short(held.avg_px),
            "side": "long",
            "market_value": _short(value),
            "cost_basis": _short(cost),
            "unrealized_pl": _short(gain),
            "unrealized_plpc": _short(gain / cost),
            "unrealized_intraday_pl": _short(gain),
            "unrealized_intraday_plpc": _short(gain / cost),
            "current_price": plain(price),
            "lastday_price": plain(price),
            "change_today": "0",
        }


def _short(number: Decimal) -> str:
    return plain(number.quantize(FINEST))


def _part(held: Decimal, asked: Asked) -> Decimal:
    """Shares to close: all, so many, or whole shares of a percentage."""
    quantity, percentage = asked.query.get("qty"), asked.query.get("percentage")
    if quantity and percentage:
        raise invalid("qty and percentage are mutually exclusive")
    text = quantity or percentage or "100"
    if not text.replace(".", "", 1).isdecimal():
        raise invalid(f"qty and percentage must be numbers, not {text!r}")
    number = Decimal(text)
    shares = number if quantity else held * number / PERCENT // 1
    if not 0 < shares <= held or shares % 1:
        raise invalid(f"{plain(shares)} of {plain(held)} whole shares cannot be closed")
    return shares
