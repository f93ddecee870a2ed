"""The border between frames (float64) and the ledger (Decimal), and tick arithmetic."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal

from trading_pipeline.domain.errors import NotAPriceError

ZERO = Decimal(0)
CENT = Decimal("0.01")
SUB_PENNY = Decimal("0.0001")
LARGEST_PRICE = 1e9
"""USD per share; what is larger is a broken computation, not a price."""
QUANTUM = Decimal("1e-10")
"""Finest amount of money kept (USD): a price of six decimals times a quantity of four fits exactly."""


def tick_size(price: Decimal) -> Decimal:
    """Smallest price step a US exchange accepts: 0.01 USD from 1 USD up, 0.0001 below (Reg NMS rule 612)."""
    return CENT if price >= 1 else SUB_PENNY


def to_price(level: float, *, tick: Decimal = SUB_PENNY, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Turn a computed level (float64 USD per share) into a Decimal price on the tick.

    The only way from frames into the ledger. Raises NotAPriceError for NaN, infinity, LARGEST_PRICE or more, and
    anything that is, or rounds to, zero or less.
    """
    if not math.isfinite(level) or not 0 < level < LARGEST_PRICE:
        raise NotAPriceError(level)
    price = (Decimal(repr(float(level))) / tick).quantize(Decimal(1), rounding) * tick
    if price <= 0:
        raise NotAPriceError(level)
    return price


def round_down_to_tick(level: float) -> Decimal:
    """Largest tradable price not above `level`; raises NotAPriceError as `to_price` does."""
    return to_price(level, tick=tick_size(to_price(level, tick=Decimal("0.000001"))), rounding=ROUND_DOWN)


def round_up_to_tick(price: Decimal) -> Decimal:
    """Smallest tradable price not below `price`; raises NotAPriceError for zero, negative or NaN."""
    if not price.is_finite() or price <= 0:
        raise NotAPriceError(price)
    tick = tick_size(price)
    return (price / tick).quantize(Decimal(1), ROUND_UP) * tick


def plain(number: Decimal) -> str:
    """Canonical text of a Decimal: no exponent, no trailing zeros, no minus zero ("100", "12.5")."""
    text = f"{number.normalize():f}"
    return "0" if text in {"-0", "0"} else text


def average_price(notional: Decimal, quantity: Decimal) -> Decimal:
    """Volume-weighted price (USD per share) of `quantity` shares worth `notional` USD; zero for no shares."""
    return notional / quantity if quantity else ZERO


def cost_of(quantity: Decimal, avg_px: Decimal) -> Decimal:
    """The exact USD amount behind an average price: undoes the rounding of the division in `average_price`."""
    return (quantity * avg_px).quantize(QUANTUM)


def to_ratio(number: Decimal) -> Decimal:
    """A fraction or multiple as stored: eight decimals, half-even."""
    return number.quantize(Decimal("1e-8"), ROUND_HALF_EVEN)
