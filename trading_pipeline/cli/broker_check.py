"""config check --broker: asks the configured broker who we are there, before the first order."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal

from trading_pipeline.domain.errors import InputError
from trading_pipeline.ports import Broker
from trading_pipeline.wiring import Workspace

Figures = dict[str, object]


def ask_broker(workspace: Workspace) -> Figures:
    """What the broker says of the account, and what of it hinders a first session. Sends no order.

    Raises InputError when no broker is configured or the account has traded elsewhere, and what connecting raises:
    wrong keys, address, account.
    """
    settings = workspace.settings
    if settings.broker.name == "simulated":
        raise InputError("broker.name is simulated: there is no broker to ask. Set it to alpaca or ib")
    workspace.require_its_venue()
    with closing(workspace.access()) as access:
        found = _figures(access.line(workspace.clock, None).broker)
    with workspace.ledger.read() as tx:
        has_traded = bool(tx.session_records(settings.execution.account))
    found["to_do"] = [] if has_traded else _to_do(found, settings.execution.initial_cash_usd)
    return {"broker": settings.broker.name, "mode": settings.execution.mode, **found}


def _figures(broker: Broker) -> Figures:
    account = broker.account()
    return {
        "cash_usd": account.cash_usd, "equity_usd": account.equity_usd, "buying_power_usd": account.buying_power_usd,
        "positions": len(broker.positions()), "open_orders": len(broker.open_orders()),
    }  # fmt: skip


def _to_do(found: Figures, expected_cash: Decimal) -> list[str]:
    """The record of an account begins flat, with the configured cash; anything else would block it as a difference."""
    todo = []
    if found["cash_usd"] != expected_cash:
        todo.append(f"set execution.initial_cash_usd to {found['cash_usd']}: it is {expected_cash}")
    if found["positions"] or found["open_orders"]:
        todo.append("close all positions and cancel all orders at the broker: the first session begins with none")
    return todo
