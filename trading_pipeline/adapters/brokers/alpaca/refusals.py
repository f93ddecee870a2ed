"""What Alpaca's refusals mean, and what to do about each: by HTTP status, code and words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

LONGEST_BODY = 300
"""Characters of a body that are told."""
DUPLICATE = re.compile(r"client_order_id must be unique", re.IGNORECASE)
_BLOCKED = "The account may not trade: see the notice on Alpaca's web page, or write to its support"
_ADVICE: tuple[tuple[str, str], ...] = (
    (r"insufficient (buying power|balance|funds)", "Reduce the size, or deposit; trading-pipeline risk shows limits"),
    (r"insufficient qty", "Other orders hold these shares: cancel them first"),
    (r"allowed to short", "No shares are held to sell: see trading-pipeline reconcile"),
    (r"wash trade", "An order of the other side works in this symbol: cancel it, or send a bracket or OCO"),
    (r"rejected by user request|suspended by user", "Its owner has switched trading off: Alpaca, Account, Configure"),
    (r"(account|trading).*(blocked|restricted|not authorized|not allowed|inactive)|not eligible", _BLOCKED),
    (r"sub-penny|pricing criteria|increment", "Prices from 1 USD up have 2 decimals, below 4"),
    (r"asset .*not found|(invalid|unknown) symbol|could not find asset", "Alpaca has no such symbol: check its name"),
    (r"not tradable|not active|not fractionable|sold short", "Alpaca does not trade it so: take it off the universe"),
    (r"halt", "Trading in it is halted: wait until it resumes"),
    (r"market .*(closed|not open)|outside .*hours|only accepted", "Closed for that kind of order: send it when open"),
    (r"base_price|stop_loss|take_profit|stop price", "Stop, price and target must rise, at least 0.01 apart"),
    (r"cannot be (replaced|cancell?ed)|cannot replace|not open|not cancelable|already", "It has changed meanwhile"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A definite no: `code` and `message` as Alpaca gave them (0 and "" where it did not), the body cut short."""

    status: int
    code: int
    message: str
    body: str

    @property
    def is_duplicate(self) -> bool:
        """True when the client_order_id has been used: what was sent under it is at the venue."""
        return DUPLICATE.search(self.message) is not None

    def words(self, what: str) -> str:
        """What was refused, why, in Alpaca's words, and what to do."""
        advice = next((todo for pattern, todo in _ADVICE if re.search(pattern, self.message, re.IGNORECASE)), None)
        todo = advice or "Nothing was done: look the message up in Alpaca's documentation, and correct what was asked"
        return (
            f"Alpaca refused to {what}: {self.message or 'no reason given'} (HTTP {self.status}: {self.body}). {todo}"
        )


def read_refusal(status: int, body: str) -> Refusal | None:
    """A refusal as told by an HTTP error; None when its body is none of Alpaca's (then nothing is known)."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return None
    code = found.get("code")
    return Refusal(status, code if isinstance(code, int) else 0, found["message"], shortened(body))


def shortened(body: str) -> str:
    """A body on one line, at most LONGEST_BODY characters."""
    line = " ".join(body.split())
    return line if len(line) <= LONGEST_BODY else f"{line[:LONGEST_BODY]}…"
