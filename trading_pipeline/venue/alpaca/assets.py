"""/v2/assets: what may be traded. With a tape, its symbols; without, whatever looks like one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.routing import Route

from trading_pipeline.venue.alpaca.context import NOT_FOUND, AlpacaError, Asked, DoorContext, Reply
from trading_pipeline.venue.alpaca.requests import unprocessable
from trading_pipeline.venue.alpaca.wire import asset_id

_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,2})?")


class Assets:
    """Every asset is a US equity, whole shares only, never sold short."""

    def __init__(self, context: DoorContext) -> None:
        self._context, self._hub = context, context.hub
        tape = self._hub.tape
        self._listed = frozenset({*(tape.symbols() if tape else ()), *context.rules.untradable})

    def routes(self) -> list[Route]:
        return [
            self._context.route("/v2/assets", "assets.list", self.listed),
            self._context.route("/v2/assets/{symbol_or_id}", "assets.get", self.get),
        ]

    def listed(self, asked: Asked) -> Reply:
        wanted = asked.query.get("asset_class", "us_equity"), asked.query.get("exchange", "NASDAQ")
        if wanted != ("us_equity", "NASDAQ") or asked.query.get("status", "active") != "active":
            return Reply([])
        return Reply([self._asset(symbol) for symbol in self.symbols()])

    def get(self, asked: Asked) -> Reply:
        name = asked.path["symbol_or_id"]
        symbol = self.symbol_of(name)
        if symbol is None:
            raise AlpacaError(404, NOT_FOUND, f"asset not found for {name}")
        return Reply(self._asset(symbol))

    def symbols(self) -> Sequence[str]:
        """Known ones, ascending: on the tape, seen by the engine, or named by the door's rules."""
        return sorted(self._known())

    def _known(self) -> frozenset[str]:
        return self._listed.union(self._hub.venue.book().marks)

    def symbol_of(self, symbol_or_id: str) -> str | None:
        """The symbol meant by a symbol or an asset's id; None when there is no such asset."""
        known = self._known()
        if symbol_or_id in known:
            return symbol_or_id
        if self._hub.tape is None and _SYMBOL.fullmatch(symbol_or_id):
            return symbol_or_id
        return next((symbol for symbol in known if asset_id(symbol) == symbol_or_id), None)

    def require_tradable(self, symbol: str) -> None:
        """Raises AlpacaError for what cannot be traded."""
        if self.symbol_of(symbol) != symbol:
            raise unprocessable(f'asset "{symbol}" not found')
        if symbol in self._context.rules.untradable:
            raise unprocessable(f'asset "{symbol}" is not tradable')

    def _asset(self, symbol: str) -> dict[str, Any]:
        return {
            "id": asset_id(symbol),
            "class": "us_equity",
            "exchange": "NASDAQ",
            "symbol": symbol,
            "name": f"{symbol} Common Stock",
            "status": "active",
            "tradable": symbol not in self._context.rules.untradable,
            "marginable": True,
            "shortable": False,
            "easy_to_borrow": False,
            "borrow_status": "hard_to_borrow",
            "fractionable": False,
            "maintenance_margin_requirement": 30,
            "margin_requirement_long": "30",
            "margin_requirement_short": "100",
            "attributes": [],
        }
