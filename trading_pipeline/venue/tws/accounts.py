"""The account on the wire: values, positions, profit and loss."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading_pipeline.domain.money import CENT, ZERO
from trading_pipeline.ports import VenuePosition
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.contracts import VENUE_EXCHANGE, Stock
from trading_pipeline.venue.tws.wire import NEW_YORK, UNSET, Message

PLAIN_TAGS = frozenset({"AccountType", "AccountCode", "AccountReady", "Cushion"})


class Account:
    """The venue's account under its name on the wire."""

    def __init__(self, hub: Hub, name: str, currency: str = "USD") -> None:
        self._hub, self.name, self._currency = hub, name, currency

    def values(self) -> Mapping[str, str]:
        """Tag to value: money in USD with two decimals, as TWS writes it."""
        account, held = self._hub.venue.account(), self._hub.venue.book().holdings_usd()
        money = {
            "NetLiquidation": account.equity_usd, "EquityWithLoanValue": account.equity_usd,
            "TotalCashValue": account.cash_usd, "TotalCashBalance": account.cash_usd, "CashBalance": account.cash_usd,
            "SettledCash": account.cash_usd if account.settled_cash_usd is None else account.settled_cash_usd,
            "AccruedCash": ZERO, "BuyingPower": account.buying_power_usd, "AvailableFunds": account.buying_power_usd,
            "ExcessLiquidity": account.equity_usd - held, "GrossPositionValue": held, "StockMarketValue": held,
            "InitMarginReq": held, "MaintMarginReq": held, "FullInitMarginReq": held, "FullMaintMarginReq": held,
            "UnrealizedPnL": self._unrealized(),
        }  # fmt: skip
        plain = {"AccountType": "INDIVIDUAL", "AccountCode": self.name, "AccountReady": "true", "Cushion": "1"}
        return plain | {tag: str(usd.quantize(CENT)) for tag, usd in money.items()}

    def values_now(self) -> list[Message]:
        """Messages 6, then 7 for what is held, then 8."""
        told: list[Message] = [(6, 2, tag, value, self._unit(tag), self.name) for tag, value in self.values().items()]
        told += [self.portfolio(position) for position in self._hub.venue.positions()]
        return [*told, (8, 1, f"{self._hub.time.now().astimezone(NEW_YORK):%H:%M}")]

    def multi(self, request_id: int, model: str) -> list[Message]:
        """Messages 73."""
        values = self.values().items()
        return [(73, 1, request_id, self.name, model, tag, value, self._unit(tag)) for tag, value in values]

    def summary(self, request_id: int, tags: str) -> list[Message]:
        """Messages 63, of the tags asked for."""
        wanted, values = [tag.strip() for tag in tags.split(",")], self.values()
        chosen = values if "All" in tags else {tag: values[tag] for tag in wanted if tag in values}
        return [(63, 1, request_id, self.name, tag, value, self._unit(tag)) for tag, value in chosen.items()]

    def positions(self) -> list[Message]:
        """Messages 61. The average cost is the venue's: without commission."""
        return [self.position(held) for held in self._hub.venue.positions()]

    def held(self, symbol: str) -> VenuePosition:
        """What is held of a symbol; none of it is a position too."""
        holding = self._hub.venue.book().holding(symbol)
        return VenuePosition(symbol, holding.quantity, holding.avg_px)

    def position(self, held: VenuePosition) -> Message:
        """Message 61."""
        contract = Stock(held.symbol).fields(VENUE_EXCHANGE, strike="0.0", right="")
        return (61, 3, self.name, *contract, held.quantity, _price(held.avg_px))

    def profit(self, request_id: int) -> Message:
        """Message 94: what is open; the day's and the realized are doubles nobody set."""
        return (94, request_id, UNSET, self._unrealized(), UNSET)

    def _unrealized(self) -> Decimal:
        held = self._hub.venue.positions()
        return sum((self._market_price(one) * one.quantity - one.avg_px * one.quantity for one in held), ZERO)

    def _market_price(self, held: VenuePosition) -> Decimal:
        mark = self._hub.venue.book().marks.get(held.symbol)
        return mark.price if mark else held.avg_px

    def portfolio(self, held: VenuePosition) -> Message:
        """Message 7."""
        contract, price = Stock(held.symbol).fields(VENUE_EXCHANGE, right="0"), self._market_price(held)
        value = price * held.quantity
        profit = value - held.avg_px * held.quantity
        return (7, 8, *contract, held.quantity, price, value, _price(held.avg_px), _price(profit), "0.0", self.name)

    def _unit(self, tag: str) -> str:
        return "" if tag in PLAIN_TAGS else self._currency


def _price(price: Decimal) -> Decimal:
    return round(price, 8)
