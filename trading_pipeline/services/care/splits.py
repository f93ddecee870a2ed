"""Splits of what is held: the position in new units before the open, and prices that look like a split nobody told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.corporate import Split, looks_like_split
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.booking import book_split
from trading_pipeline.services.care.asking import Quotes, held_positions, say_once
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest


def apply_splits(desk: Desk, times: SessionTimes, splits: Mapping[str, Decimal]) -> int:
    """Before the open of the ex-date: positions in new units. Returns how many were split; twice changes nothing.

    splits: new shares for one old share, by symbol. Resting orders are the venue's to rescale: what it leaves in old
    units has the wrong size afterwards, and the guard of protection puts that right before the first bar.
    """
    return sum([_split(desk, times, p, splits[p.symbol]) for p in held_positions(desk) if p.symbol in splits])


def _split(desk: Desk, times: SessionTimes, position: Position, ratio: Decimal) -> bool:
    split = Split(
        account=desk.account, symbol=position.symbol, ex_date=times.session, ratio=ratio, effective_at=times.opens_at
    )
    with desk.ledger.transaction() as tx:
        known = [one for one in tx.splits(desk.account, symbol=position.symbol) if one.ex_date == times.session]
        if known or position.opened_at >= times.opens_at:
            return False
        return book_split(desk, tx, times.session, split)


def flag_unannounced_splits(desk: Desk, times: SessionTimes, quotes: Quotes) -> int:
    """Block and alarm where the first price of the session stands to the last one like n to m; before prices are taken.

    A quote is a bar somebody traded in. An announced split has moved the last price already. Returns how many.
    """
    found = 0
    for position in held_positions(desk):
        quote, marked_at = quotes.get(position.symbol), position.marked_at
        if quote is None or position.mark is None or marked_at is None or marked_at > times.opens_at:
            continue
        if quote.quoted_at <= times.opens_at or not quote.price.is_finite() or quote.price <= 0:
            continue
        ratio = looks_like_split(position.mark, quote.price)
        found += 0 if ratio is None else _flag(desk, times, position, ratio, quote.price)
    return found


def _flag(desk: Desk, times: SessionTimes, position: Position, ratio: str, price: Decimal) -> bool:
    identity = digest("unannounced_split", desk.account, position.symbol, times.session.isoformat())
    reason = (
        f"{position.symbol} opened at {plain(price)} after {plain(position.mark or price)}: like a {ratio} split that "
        "nobody announced. Look it up, compare with the venue (trading-pipeline reconcile), then: trading-pipeline "
        f"risk rearm {position.symbol}"
    )
    with desk.ledger.transaction() as tx:
        tx.add_block(
            Block(
                block_id=identity, account=desk.account, symbol=position.symbol, kind=BlockKind.UNANNOUNCED_SPLIT,
                reason=reason, since=desk.clock.now(),
            )
        )  # fmt: skip
        return say_once(
            tx,
            RiskEvent(
                event_id=identity, account=desk.account, session=times.session, occurred_at=desk.clock.now(),
                kind="unannounced_split", severity="CRITICAL", message=reason,
                data={"symbol": position.symbol, "trade_id": position.trade_id, "ratio": ratio},
            ),
        )  # fmt: skip
