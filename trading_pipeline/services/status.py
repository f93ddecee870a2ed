"""How a home and its account stand, in a few figures."""

from __future__ import annotations

from datetime import datetime

from trading_pipeline.domain.control import AlertLevel, Lease, TradingState, TradingStateRecord, strictest
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.ports import BarStore, Ledger, LedgerTransaction
from trading_pipeline.services.latch import Latch, Latched, look_at
from trading_pipeline.services.lease import lease_name
from trading_pipeline.services.modes.standing import by_hand
from trading_pipeline.services.modes.transitions import present_mode


def read_status(
    ledger: Ledger, bars: BarStore, account: str, now: datetime, latch: Latch | None = None
) -> dict[str, object]:
    """Stored bars, sessions run, last session, equity, positions, working orders, trades, and rows in the ledger.

    latch: of the account; it may hold entries back where the record does not. now: by the real clock; a lease that has
    expired or was released by then leads nobody.
    """
    base = bars.base_timeframe() or Timeframe.DAY1
    stored = bars.sessions(base)
    with ledger.read() as tx:
        return {
            "account": account,
            "bars": f"{len(stored)} sessions of {base.value}" if stored else "none",
            "first_bars": stored[0].isoformat() if stored else None,
            "last_bars": stored[-1].isoformat() if stored else None,
            **_trading(tx, account, now, look_at(latch)),
            "ledger_rows": tx.row_counts(),
        }


def _trading(tx: LedgerTransaction, account: str, now: datetime, latched: Latched) -> dict[str, object]:
    records = tx.session_records(account)
    last = records[-1] if records else None
    points = tx.equity_points(account, last.session, last.session) if last else ()
    return {
        **_control(tx, account, now, latched),
        "sessions_run": len(records),
        "last_session": last.session.isoformat() if last else None,
        "last_session_is": last.phase.value if last else None,
        "equity_usd": plain(points[-1].equity_usd if points else last.opening_equity_usd) if last else None,
        "open_positions": len(tx.positions(account)),
        "working_orders": len(tx.open_orders(account)),
        "trades": len(whole_trades(tx.trades(account))),
    }


def _control(tx: LedgerTransaction, account: str, now: datetime, latched: Latched) -> dict[str, object]:
    state, lease = tx.trading_state(account), tx.lease(lease_name(account))
    on_record = state.state if state else TradingState.ACTIVE
    in_force = strictest(on_record, latched.state)
    because = _because(state) if state else None
    blocks = [f"{block.symbol or account} ({block.kind.value})" for block in tx.blocks(account)]
    return {
        "mode": present_mode(tx, account).name,
        "mode_because": by_hand(tx, account) or None,
        "trading": in_force.value,
        "trading_because": because if in_force is on_record else latched.words,
        "led_by": leader(lease, now),
        "blocked": ", ".join(blocks) or None,
    }


def _because(state: TradingStateRecord) -> str:
    closing = "; all positions are to be closed, and are not known to be yet" if state.flattens else ""
    return f"{state.reason} ({state.set_by}, {state.changed_at:%Y-%m-%d %H:%M} UTC){closing}"


def leader(lease: Lease | None, now: datetime) -> str | None:
    """Who leads, in words: nobody once the lease was released or ran out; None when nobody ever did."""
    if lease is None:
        return None
    if lease.expires_at > now:
        return f"{lease.holder} until {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"nobody (last {lease.holder}, until {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC)"


def read_alarms(ledger: Ledger, account: str) -> list[dict[str, object]]:
    """What the newest session had to tell a person, oldest first; what is only information is left out."""
    with ledger.read() as tx:
        records = tx.session_records(account)
        told = tx.alerts(account, records[-1].session) if records else ()
    return [
        {"at": one.occurred_at.isoformat(), "level": one.level.value, "kind": one.kind, "message": one.message}
        for one in told if one.level is not AlertLevel.INFO
    ]  # fmt: skip
