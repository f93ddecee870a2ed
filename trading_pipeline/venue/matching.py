"""At what price, if any, a bar executes an order: pure functions, pessimistic where a bar hides its path."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from trading_pipeline.domain.errors import InputError, NotAPriceError
from trading_pipeline.domain.market import MarketBar, require_aware
from trading_pipeline.domain.money import SUB_PENNY, ZERO
from trading_pipeline.domain.orders import OrderType, Side
from trading_pipeline.venue.tickets import Terms

LARGEST_VOLUME = Decimal(10) ** 15
"""Shares; no bar ever traded as many, and Decimal arithmetic stays exact far beyond."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a bar does to an order: the fill price (USD per share; None: no fill), and whether its stop triggered."""

    price: Decimal | None
    triggered: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """A bar as the order's side sees it: prices signed so that more is better, for a buy as for a sell."""

    sign: int
    open: Decimal
    worst: Decimal
    best: Decimal

    @classmethod
    def of(cls, side: Side, bar: MarketBar) -> _View:
        if side is Side.SELL:
            return cls(1, bar.open, bar.low, bar.high)
        return cls(-1, -bar.open, -bar.high, -bar.low)


def match(
    side: Side,
    order_type: OrderType,
    terms: Terms,
    *,
    triggered: bool,
    bar: MarketBar,
    slippage: Decimal,
    arriving: bool = False,
) -> Match:
    """Where `bar` fills an order of these terms, quantity aside.

    Market: the open, slipped. Limit: the open when it is at or better, else the limit when the bar trades through it
    (touching is not enough: others were first); arriving, in the first bar its terms meet, it takes what is there and
    pays slippage on the open, never beyond its limit. Stop: triggers at or through its price, fills there or at the
    open it gapped through, slipped. Stop-limit: as a stop, but never worse than its limit.
    """
    view = _View.of(side, bar)
    if order_type is OrderType.MARKET:
        return Match(slipped(side, bar.open, slippage))
    if order_type is OrderType.LIMIT:
        return Match(_limit_price(view, _known(terms.limit_price), slippage if arriving else ZERO))
    if terms.stop_price is None:
        return Match(None)  # a trailing stop that has seen no price yet
    stop = terms.stop_price * view.sign
    at_open = triggered or view.open <= stop
    if not at_open and view.worst > stop:
        return Match(None)
    if order_type is not OrderType.STOP_LIMIT:
        return Match(slipped(side, bar.open if at_open else stop * view.sign, slippage), triggered=True)
    limit = _known(terms.limit_price)
    if at_open:
        return Match(_limit_price(view, limit), triggered=True)
    return Match(_limit_after_trigger(side, view, stop, limit, slippage), triggered=True)


def auction_price(side: Side, limit: Decimal | None, price: Decimal, slippage: Decimal) -> Decimal | None:
    """Where an auction at `price` fills an order: slipped, never beyond its limit; None when the limit forbids it."""
    reached = slipped(side, price, slippage)
    if limit is None:
        return reached
    if side is Side.SELL:
        return max(reached, limit) if price >= limit else None
    return min(reached, limit) if price <= limit else None


def _known(price: Decimal | None) -> Decimal:
    assert price is not None, "checked when the order was accepted"
    return price


def _limit_price(view: _View, limit: Decimal, slippage: Decimal = ZERO) -> Decimal | None:
    if view.open >= limit * view.sign:
        if view.sign == 1:
            return max(slipped(Side.SELL, view.open, slippage), limit)
        return min(slipped(Side.BUY, -view.open, slippage), limit)
    return limit if view.best > limit * view.sign else None


def _limit_after_trigger(side: Side, view: _View, stop: Decimal, limit: Decimal, slippage: Decimal) -> Decimal | None:
    """Inside the bar only the touch of the stop is known: fill there, slipped, unless the limit forbids it."""
    if stop < limit * view.sign:
        return None
    reached = slipped(side, stop * view.sign, slippage)
    return max(reached, limit) if side is Side.SELL else min(reached, limit)


def slipped(side: Side, price: Decimal, fraction: Decimal) -> Decimal:
    """`price` (USD per share) made worse by `fraction`: up for a buy, down for a sell."""
    return quantized(side, price * (1 + fraction if side is Side.BUY else 1 - fraction))


def quantized(side: Side, price: Decimal) -> Decimal:
    """To 0.0001 USD against the trader's favour, and never below that."""
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return max(price.quantize(SUB_PENNY, rounding), SUB_PENNY)


def capacity(bar: MarketBar, participation: Decimal) -> Decimal:
    """Whole shares one side may take of the bar's volume."""
    return (bar.volume * participation).quantize(Decimal(1), ROUND_DOWN)


def checked(bar: MarketBar) -> MarketBar:
    """Return `bar`; raises NotAPriceError or InputError for values no market can have had."""
    for name in ("open", "high", "low", "close"):
        price: Decimal = getattr(bar, name)
        if not price.is_finite() or price <= 0:
            raise NotAPriceError(price, f"{name} of {bar.symbol}'s bar ending {bar.end_at.isoformat()}")
    require_aware(bar.start_at, "bar start")
    if require_aware(bar.end_at, "bar end") <= bar.start_at:
        raise _broken(bar, "it must end after it starts")
    if not bar.volume.is_finite() or not 0 <= bar.volume <= LARGEST_VOLUME:
        raise _broken(bar, f"volume {bar.volume} must be a number from 0 to {LARGEST_VOLUME}")
    if bar.low > min(bar.open, bar.close) or bar.high < max(bar.open, bar.close):
        raise _broken(bar, "open and close must lie between low and high")
    return bar


def _broken(bar: MarketBar, why: str) -> InputError:
    return InputError(
        f"{bar.symbol}'s bar {bar.start_at.isoformat()} to {bar.end_at.isoformat()} cannot be traded on: {why}. "
        "Nothing was changed. Check the bars: trading-pipeline data check"
    )
