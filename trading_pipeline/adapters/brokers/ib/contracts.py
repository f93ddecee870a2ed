"""Stocks as TWS knows them: looked up once, kept, with the price steps they trade in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.brokers.ib.link import Link
from trading_pipeline.adapters.brokers.ib.shapes import number, symbol_at_ib
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.money import plain


@dataclass(frozen=True, slots=True)
class Stock:
    """contract: the library's, routed by SMART. steps: (from this price on, smallest step), ascending, USD."""

    contract: Any
    steps: tuple[tuple[Decimal, Decimal], ...]

    def step_at(self, price: Decimal) -> Decimal:
        """The smallest step at a price."""
        return next((step for edge, step in reversed(self.steps) if price >= edge), self.steps[0][1])


class Stocks:
    """Looks stocks up at TWS."""

    def __init__(self, sdk: Any, link: Link) -> None:
        self._sdk, self._link = sdk, link
        self._known: dict[str, Stock] = {}
        self._rules: dict[int, tuple[tuple[Decimal, Decimal], ...]] = {}

    async def of(self, symbol: str) -> Stock:
        """A stock; raises OrderRefused where TWS knows none, or several, under the name."""
        if symbol not in self._known:
            asked = self._sdk.Stock(symbol_at_ib(symbol), "SMART", "USD")
            found = await self._link.ask(f"details of {symbol}", lambda ib: ib.reqContractDetailsAsync(asked))
            self._known[symbol] = await self._kept(symbol, found)
        return self._known[symbol]

    async def _kept(self, symbol: str, found: Sequence[Any]) -> Stock:
        if len(found) != 1:
            names = ", ".join(f"{one.contract.primaryExchange} ({one.longName})" for one in found)
            raise OrderRefused(
                f"Interactive Brokers knows {len(found) or 'no'} stocks under {symbol} in USD ({names or 'none'}). "
                'Check the symbol (BRK.B is "BRK B" there), and the market permissions of the account'
            )
        (details,) = found
        contract = details.contract
        contract.exchange = "SMART"
        least = number(details.minTick) or Decimal("0.01")
        return Stock(contract, await self._steps(details) or ((Decimal(0), least),))

    async def _steps(self, details: Any) -> tuple[tuple[Decimal, Decimal], ...]:
        """The rule of the exchange the order is sent to: TWS lists rules in the order of exchanges."""
        exchanges, rules = details.validExchanges.split(","), details.marketRuleIds.split(",")
        named = dict(zip(exchanges, rules, strict=False)).get("SMART", rules[0])
        if not named.isdecimal():
            return ()
        rule_id = int(named)
        if rule_id not in self._rules:
            rows = await self._link.ask(f"market rule {rule_id}", lambda ib: ib.reqMarketRuleAsync(rule_id))
            steps = ((number(row.lowEdge) or Decimal(0), number(row.increment)) for row in rows or ())
            self._rules[rule_id] = tuple(sorted((edge, step) for edge, step in steps if step))
        return self._rules[rule_id]


def tick_faults(stock: Stock, *prices: Decimal | None) -> list[str]:
    """Prices finer than the stock trades in: TWS would refuse them (110)."""
    return [
        f"price {plain(price)} is finer than the step of {plain(stock.step_at(price))} USD"
        for price in prices
        if price is not None and price % stock.step_at(price)
    ]
