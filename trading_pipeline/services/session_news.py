"""What people hear of a session itself: begun, closed, or stopped before its close."""

from __future__ import annotations

from datetime import date, datetime

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import Ledger, LedgerTransaction


def tell_started(tx: LedgerTransaction, record: SessionRecord, at: datetime) -> None:
    """It was begun; in the transaction that puts it on record."""
    tx.raise_alert(
        alert(
            "session_started", account=record.account, session=record.session, at=at,
            message=f"session {record.session} of account {record.account} is begun with "
            f"{record.opening_equity_usd:,.2f} USD",
        )
    )  # fmt: skip


def tell_closed(tx: LedgerTransaction, record: SessionRecord, at: datetime) -> None:
    """It ran to its close; in the transaction that closes it, after its last equity point."""
    points = tx.equity_points(record.account, record.session, record.session)
    trades = whole_trades(tx.trades(record.account, record.session, record.session))
    equity = points[-1].equity_usd
    gain, held = equity - record.opening_equity_usd, points[-1].positions
    tx.raise_alert(
        alert(
            "session_closed", account=record.account, session=record.session, at=at,
            message=f"session {record.session} of account {record.account} is closed: equity {equity:,.2f} USD "
            f"({gain:+,.2f}), {len(trades)} trade(s) closed, {held} position(s) held",
            data={"equity_usd": f"{equity:.2f}", "gain_usd": f"{gain:.2f}"},
        )
    )  # fmt: skip


def tell_stopped(ledger: Ledger, account: str, session: date, *, process: str, at: datetime) -> None:
    """A process was asked to stop before the close. at: by the machine's clock."""
    with ledger.transaction() as tx:
        tx.raise_alert(
            alert(
                "session_stopped", process, account=account, session=session, at=at,
                message=f"the loop of session {session} was stopped before the close: what is held is guarded by its "
                f"stops at the venue alone. Go on: trading-pipeline session run --session {session}",
                data={"process": process},
            )
        )  # fmt: skip
