"""What may leave for a venue, and what a lost answer allows: pure rules of the submission protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.control import Block, BlockKind, TradingState
from trading_pipeline.domain.orders import Order, OrdStatus, Side


class SubmissionRules(BaseModel):
    """How fast orders leave, and how patiently a lost answer is looked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    orders_per_second: int = Field(5, ge=1, le=50, description="entries; the next one waits, none is dropped")
    venue_requests_per_minute: int = Field(200, ge=10, le=6000, description="all requests to the venue")
    protective_fraction: float = Field(
        0.3, ge=0, lt=1, description="of those requests: kept for protective orders, exits and cancels"
    )
    lookups: int = Field(3, ge=1, le=10, description="looks for an order in doubt before it is sent again")
    lookup_wait_seconds: float = Field(1.0, ge=0, le=60, description="after the first lookup; each wait doubles")


@dataclass(frozen=True, slots=True)
class LastLook:
    """What the record says of an order right before it leaves: its status, the account's trading state, and the blocks
    in force on its symbol and on the whole account, oldest first."""

    status: OrdStatus
    state: TradingState
    blocks: Sequence[Block]


def grows_exposure(order: Order) -> bool:
    """True for what a halt holds back: buys. Long only: every sell protects or reduces."""
    return order.side is Side.BUY


def barrier(order: Order, state: TradingState, blocks: Iterable[Block]) -> str:
    """Why an order may not leave now; empty when it may. Only what grows exposure is ever held back.

    An order in doubt is not stopped by the block its own doubt has put up (block_id, in_doubt_block_id).
    """
    if not grows_exposure(order):
        return ""
    if not state.allows_entries:
        return f"trading is {state.value}"
    own = in_doubt_block_id(order.client_order_id)
    standing = [block for block in blocks if block.block_id != own]
    return f"{standing[0].symbol or 'the account'} is blocked: {standing[0].reason}" if standing else ""


def in_doubt_block_id(client_order_id: str) -> str:
    """Identity of the block that an order in doubt puts up."""
    return f"{BlockKind.IN_DOUBT.value}-{client_order_id}"


def errors_in_a_row(orders: Iterable[Order], since: datetime | None = None) -> int:
    """Rejects and lost answers among the orders that left, counted back from the newest to the last success.

    since: only orders that left after it (a person looked at the earlier ones). An order nobody has answered yet
    neither counts nor ends the row.
    """
    left = [o for o in orders if o.parent_id is None and o.submitted_at is not None]
    answered = [
        o for o in left if o.status is not OrdStatus.PENDING_NEW and (since is None or _left_at(o) > since)
    ]  # fmt: skip
    newest_first = sorted(answered, key=lambda o: (_left_at(o), o.client_order_id), reverse=True)
    return len(list(takewhile(_failed, newest_first)))


def _left_at(order: Order) -> datetime:
    return order.submitted_at or order.created_at


def _failed(order: Order) -> bool:
    return order.status in {OrdStatus.REJECTED, OrdStatus.IN_DOUBT}


def without_claim(left: Iterable[str], claimed: Iterable[str]) -> Sequence[str]:
    """Ids that went through the border without a claim on record, sorted: orders out must match intents in."""
    return sorted(set(left) - set(claimed))
