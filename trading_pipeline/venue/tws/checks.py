"""Why TWS refuses an order before the account is even asked: codes and words of its own."""

from __future__ import annotations

from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.placing import AT_CLOSE, LIVES, ORDER_TYPES, SIDES, Terms, is_off_tick

READ_ONLY = "Error validating request.-'cy' : cause - The API interface is currently in Read-Only mode."
NO_CONTRACT = "No security definition has been found for the request"


class Trouble(TradingPipelineError):
    """An error message of TWS about one request."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_terms(terms: Terms, account: str, *, is_plain: bool) -> None:
    """Raises Trouble for the first thing TWS itself would not let through."""
    if not is_plain:
        raise Trouble(321, "Error validating request.-'bW' : cause - this venue takes plain stock orders only")
    if terms.order_type not in ORDER_TYPES:
        raise Trouble(387, "Unsupported order type for this exchange and security type.")
    if terms.action not in SIDES:
        raise Trouble(321, f"Error validating request.-'bW' : cause - Invalid action: {terms.action!r}")
    if terms.account not in {"", account}:
        raise Trouble(321, f"Error validating request.-'bW' : cause - Invalid account code '{terms.account}'.")
    if terms.quantity <= 0:
        raise Trouble(434, "The order size cannot be zero.")
    if terms.quantity != terms.quantity.to_integral_value():
        raise Trouble(10243, "Fractional-sized order cannot be placed via API. Please place from TWS.")
    if terms.tif not in LIVES and terms.order_type not in AT_CLOSE:
        raise Trouble(201, f"Order rejected - reason:Invalid time in force {terms.tif!r}")
    if is_off_tick(terms):
        raise Trouble(110, "The price does not conform to the minimum price variation for this contract.")


def check_change(order: WireOrder, status: str, symbol: str, terms: Terms) -> None:
    """Raises Trouble for a change of what may not change, or of an order that has ended."""
    if status == "Filled":
        raise Trouble(104, "Cannot modify a filled order.")
    if status in {"Cancelled", "ApiCancelled", "Inactive"}:
        raise Trouble(103, "Duplicate order id")
    before = order.terms
    if terms.order_type != before.order_type:
        raise Trouble(329, "Order modify failed. Cannot change to the new order type.")
    if (terms.action, symbol, terms.tif) != (before.action, order.symbol, before.tif):
        raise Trouble(105, "Order being modified does not match original order")
