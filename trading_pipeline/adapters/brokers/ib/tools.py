"""What sending, changing and cancelling share: the connection, what is known, and waiting for TWS's reaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trading_pipeline.adapters.brokers.ib.board import Board, Complaint, Seen
from trading_pipeline.adapters.brokers.ib.contracts import Stock, Stocks, tick_faults
from trading_pipeline.adapters.brokers.ib.link import READ_ONLY_ADVICE, Link
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.reading import Reading
from trading_pipeline.adapters.brokers.ib.told import ToldReports
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import OrderRequest
from trading_pipeline.ports import Clock

LOOK_FRACTION = 0.5
"""Of the time an answer may take: then TWS is asked, for messages get lost while orders do not."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Shared by whoever holds the turn."""

    sdk: Any
    link: Link
    clock: Clock
    ids: VenueIds
    told: ToldReports
    names: Names
    reading: Reading
    stocks: Stocks
    timeout_seconds: float

    @property
    def board(self) -> Board:
        return self.link.board

    async def until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for messages until something is so, and look once when none tells; False when it is not so in time.

        Raises OutcomeUnknown when TWS does not answer the look.
        """
        wait = self.timeout_seconds * LOOK_FRACTION
        if await self._heard(is_so, wait):
            return True
        if self.link.is_connected():
            await self.reading.refresh()
        return await self._heard(is_so, wait)

    async def _heard(self, is_so: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not is_so() and self.link.is_connected():
                    await self.board.change()
        except TimeoutError:
            pass
        return is_so()

    def said(self, seen_key: tuple[int, int]) -> Sequence[Complaint]:
        """What TWS has said against an order or its change."""
        return tuple(self.board.complaints.get(seen_key, ()))

    def advised(self, text: str) -> str:
        """A refusal with what to do about it."""
        return f"{text}. {READ_ONLY_ADVICE}" if self.link.is_read_only else text

    async def ask_cancel(self, seen: Seen) -> None:
        """Send a cancel: on the wire by the id; only the library's own `cancelOrder` wants the order."""
        await self.link.send(1, lambda ib: ib.client.cancelOrder(seen.order_id, ""), even_unready=True)


def words_of(said: Sequence[Complaint]) -> str:
    """Complaints in TWS's words, each once."""
    return "; ".join(dict.fromkeys(f"{one.code} {one.text}" for one in said)) or "nothing about why"


def require_ticks(stock: Stock, *orders: OrderRequest) -> None:
    """Raises OrderRefused for a price the stock does not trade in."""
    faults = [f"{o.client_order_id}: {f}" for o in orders for f in tick_faults(stock, o.limit_price, o.stop_price)]
    if faults:
        raise OrderRefused(f"not sent to Interactive Brokers: {'; '.join(faults)}")
