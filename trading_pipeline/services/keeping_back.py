"""The block on the whole account while something that must be good before entries is not."""

from __future__ import annotations

from datetime import datetime

from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.entries import digest
from trading_pipeline.services.readiness import BLOCKED_BY

BY = "start-up"
"""Who lifts it."""


def keep_back(tx: LedgerTransaction, account: str, reason: str, at: datetime) -> None:
    """Block entries for the reason; without one, lift that block, also one that an earlier process has left."""
    standing = [one for one in tx.blocks(account) if one.kind is BlockKind.NOT_READY]
    if [one.reason for one in standing] == [reason]:
        return
    for block in standing:
        tx.clear_block(block.block_id, at, BY)
    if reason:
        block_id = digest(BlockKind.NOT_READY.value, account, at.isoformat(), reason)
        tx.add_block(
            Block(block_id=block_id, account=account, symbol="", kind=BlockKind.NOT_READY, reason=reason, since=at)
        )


def do_again(tx: LedgerTransaction, act: RiskEvent) -> None:
    """In a session that is run again: keep entries back, or let them leave, as its loop did then."""
    keep_back(tx, act.account, act.data[BLOCKED_BY], act.occurred_at)
