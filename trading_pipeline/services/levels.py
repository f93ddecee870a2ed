"""What an account is worth in a session, by the record: for the limits on losses."""

from __future__ import annotations

from trading_pipeline.domain.breaker import Levels
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.book import cash_after


def levels_of(tx: LedgerTransaction, record: SessionRecord) -> Levels:
    """Opening, peak and present equity (USD), open P&L and costs included, cash put in or taken out today left out.

    The peak is the highest equity put on record in the session, never less than the opening.
    """
    account, session = record.account, record.session
    activities = tx.cash_activities(account, session=session)
    earned = sum((one.amount_usd for one in activities if not one.kind.is_flow), ZERO)
    cash = cash_after(record.opening_cash_usd, tx.fills(account, session=session)) + earned
    equity = cash + sum((p.quantity * (p.mark or p.avg_px) for p in tx.positions(account)), ZERO)
    peak = tx.session_peak(account, session)
    past = peak.equity_usd if peak else record.opening_equity_usd
    return Levels(
        opening_usd=record.opening_equity_usd, peak_usd=max(past, record.opening_equity_usd), equity_usd=equity
    )  # fmt: skip
