"""What a session's open does before trading: splits, dividends, settlement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import CENT, QUANTUM, SUB_PENNY, ZERO, plain
from trading_pipeline.domain.orders import ExecType
from trading_pipeline.venue.accounting import UNSETTLED
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.hours import remember_session
from trading_pipeline.venue.state import Holding
from trading_pipeline.venue.tickets import Terms, Ticket, on_tick

BROKER = "simulated"


def open_session(
    book: Book, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
) -> None:
    """Settle earlier sales, pay dividends on shares as held before the open, then split; each once a session."""
    for symbol, amount in (*splits.items(), *dividends.items()):
        if not amount.is_finite() or amount <= 0:
            raise InputError(f"{symbol}'s split or dividend of {amount} for {times.session} must be finite and above 0")
    remember_session(book, times)
    _settle(book, times)
    for symbol in sorted(dividends):
        if _is_first(book, f"dividend:{times.session}:{symbol}"):
            _pay(book, times, symbol, dividends[symbol])
    for symbol in sorted(splits):
        if _is_first(book, f"split:{times.session}:{symbol}"):
            _Splitting(book, times, symbol, splits[symbol]).run()


def _is_first(book: Book, name: str) -> bool:
    is_first = name not in book.facts
    if is_first:
        book.facts[name] = True
    return is_first


def _settle(book: Book, times: SessionTimes) -> None:
    unsettled = book.facts.get(UNSETTLED, {})
    still = {day: usd for day, usd in unsettled.items() if day >= times.session.isoformat()}
    if still != unsettled:
        book.facts[UNSETTLED] = still


def _pay(book: Book, times: SessionTimes, symbol: str, per_share: Decimal) -> None:
    """The last price is marked down by the dividend, as the market will do at the open."""
    held = book.holding(symbol).quantity
    _move_cash(book, times, symbol, CashKind.DIVIDEND, held * per_share, f"{plain(per_share)} USD on {held} shares")
    mark = book.marks.get(symbol)
    if mark is not None:
        book.marks[symbol] = replace(mark, price=max(mark.price - per_share, SUB_PENNY))


def _move_cash(book: Book, times: SessionTimes, symbol: str, kind: CashKind, usd: Decimal, text: str) -> None:
    amount = usd.quantize(CENT)
    if not amount:
        return
    book.cash_usd += amount
    book.activities.append(
        CashActivity(
            broker=BROKER,
            activity_id=f"{book.rules.account}-{kind}-{times.session}-{symbol}",
            account=book.rules.account,
            session=times.session,
            kind=kind,
            amount_usd=amount,
            occurred_at=times.opens_at,
            symbol=symbol,
            text=text,
        )
    )


class _Splitting:
    """One split: the holding, the last price and every resting order in new units. Numbers of filled shares stay."""

    def __init__(self, book: Book, times: SessionTimes, symbol: str, ratio: Decimal) -> None:
        self.book, self.times, self.symbol, self.ratio = book, times, symbol, ratio
        self.text = f"split: {plain(ratio)} new shares for one"

    def run(self) -> None:
        for listed in list(self.book.working(self.symbol)):
            ticket = self.book.tickets[listed.client_order_id]
            if ticket.is_open:
                self._order(ticket)
        self._price()
        self._holding(self.book.holding(self.symbol))

    def _order(self, ticket: Ticket) -> None:
        leaves = _whole(ticket.leaves_qty * self.ratio)
        if not leaves or (ticket.is_buy and ticket.cum_qty):
            why = "its filled part is in old shares" if leaves else "less than one share is left"
            self.book.end(ticket, ExecType.CANCELED, self.times.opens_at, f"{self.text}; {why}")
            return
        changed = self._in_new_units(ticket, ticket.cum_qty + leaves)
        self.book.change_alone(changed, self.times.opens_at, self.text)

    def _in_new_units(self, ticket: Ticket, quantity: Decimal) -> Ticket:
        terms = ticket.terms[-1]
        sells, at = not ticket.is_buy, self.times.opens_at
        limit = self._level(terms.limit_price, ROUND_CEILING if sells else ROUND_FLOOR)
        new = Terms(at, limit, self._level(terms.stop_price, ROUND_FLOOR if sells else ROUND_CEILING))
        trail = ticket.trail_amount and max((ticket.trail_amount / self.ratio).quantize(SUB_PENNY), SUB_PENNY)
        entry = self.book.entry_of(ticket)
        detached = ticket.is_detached or (entry is not None and entry.cum_qty > 0)
        whole = quantity + self.book.sibling_cum(ticket) if detached or ticket.whole is not None else None
        return replace(
            ticket.with_terms(new),
            quantity=quantity,
            trail_amount=trail,
            whole=whole,
            is_detached=detached,
            reserve_px=ticket.reserve_px / self.ratio if limit is None else limit,
        )

    def _level(self, price: Decimal | None, rounding: str) -> Decimal | None:
        return None if price is None else on_tick(price / self.ratio, rounding)

    def _price(self) -> None:
        mark = self.book.marks.get(self.symbol)
        if mark is not None:
            self.book.marks[self.symbol] = replace(
                mark, price=max((mark.price / self.ratio).quantize(QUANTUM), QUANTUM)
            )

    def _holding(self, holding: Holding) -> None:
        """A part of a share is paid at the last price."""
        if not holding.quantity:
            return
        exact = holding.quantity * self.ratio
        whole = _whole(exact)
        cost = holding.cost_usd * whole / exact if whole != exact else holding.cost_usd
        self.book.holdings[self.symbol] = Holding(self.symbol, whole, cost if whole else ZERO)
        text = f"{self.text}; {plain(exact - whole)} of a share"
        usd = (exact - whole) * self.book.marks[self.symbol].price
        _move_cash(self.book, self.times, self.symbol, CashKind.CASH_IN_LIEU, usd, text)


def _whole(shares: Decimal) -> Decimal:
    return shares.quantize(Decimal(1), ROUND_DOWN)
