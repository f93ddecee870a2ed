"""The account: may it trade, is it the one the settings name, and what it holds."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from trading_pipeline.adapters.brokers.alpaca.wire import Raw, number
from trading_pipeline.domain.errors import OutcomeUnknown, SettingsError, TradingError
from trading_pipeline.ports import VenueAccount, VenuePosition

FLAGS = {
    "trading_blocked": "Alpaca has blocked trading: see the notice on its web page, or write to its support",
    "account_blocked": "Alpaca has blocked the account: see the notice on its web page, or write to its support",
    "trade_suspended_by_user": "trading is switched off by its owner: switch it on at Alpaca, Account, Configure",
}
"""Flags of GET /v2/account that stop all trading, and what to do."""


PAPER_NUMBER = "PA"
"""How the numbers of Alpaca's paper accounts begin."""


def require_tradable(row: Raw, expected_account_id: str, *, is_live: bool = False) -> None:
    """Raises SettingsError for another account than expected ("": any) and for a paper account instead of a live one,
    TradingError for one that may not trade."""
    shown = str(row.get("account_number") or "")
    if is_live and shown.startswith(PAPER_NUMBER):
        raise SettingsError(
            f"{shown} is a paper account of Alpaca's, and execution.mode is live: set broker.alpaca.trading_url and "
            "the keys of the live account, or execution.mode: paper"
        )
    if expected_account_id and shown != expected_account_id:
        raise SettingsError(
            f"these keys are for Alpaca's account {shown or '(not told)'}, the settings name {expected_account_id}. "
            "Set broker.account_id, or the keys of the account you mean"
        )
    problems = [todo for flag, todo in FLAGS.items() if row.get(flag) is not False and row.get(flag) is not None]
    if row.get("status") != "ACTIVE":
        problems.append(f"its status is {row.get('status')!r}, not ACTIVE: finish what Alpaca's web page asks for")
    if problems:
        raise TradingError(f"Alpaca's account {shown} may not trade: {'; '.join(problems)}")


def read_account(row: Raw, account: str) -> VenueAccount:
    """Alpaca's figures. Cash that has not settled is told apart only in an account without margin."""
    return VenueAccount(
        account=account,
        cash_usd=_figure(row, "cash"),
        equity_usd=_figure(row, "equity"),
        buying_power_usd=_figure(row, "buying_power"),
        settled_cash_usd=_figure(row, "non_marginable_buying_power") if str(row.get("multiplier")) == "1" else None,
    )


def read_position(row: Raw) -> VenuePosition:
    """One position; shares below zero are sold short."""
    symbol = row.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise OutcomeUnknown("Alpaca's answer has a position without a symbol; asked again")
    quantity = _figure(row, "qty")
    is_short = row.get("side") == "short" and quantity > 0
    return VenuePosition(symbol, -quantity if is_short else quantity, _figure(row, "avg_entry_price"))


def _figure(row: Raw, name: str) -> Decimal:
    found: Any = row.get(name)
    try:
        value = number(found)
    except (ValueError, InvalidOperation):
        value = None
    if value is None:
        raise OutcomeUnknown(f"Alpaca's answer has {name} {found!r} where a number belongs; asked again")
    return value
