"""Alpaca's corporate actions: splits and cash dividends of the tape, told from their ex-date on.

A tape does not say when an action was announced, so none is told before its ex-date; process date and ex-date are one.
"""

from __future__ import annotations

from collections.abc import Sequence

from trading_pipeline.venue.alpaca.context import AlpacaError, Asked, Reply
from trading_pipeline.venue.alpaca.data_adjustment import LONG_AGO
from trading_pipeline.venue.alpaca.data_frames import day_of
from trading_pipeline.venue.alpaca.data_query import day_asked, sort_of, whole_number
from trading_pipeline.venue.alpaca.data_wire import Wire, actions_wire
from trading_pipeline.venue.hub import VenueTime
from trading_pipeline.venue.tape import Tape

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
TYPES = frozenset(
    {
        "reverse_split", "forward_split", "unit_split", "cash_dividend", "stock_dividend", "spin_off", "cash_merger",
        "stock_merger", "stock_and_cash_merger", "redemption", "name_change", "worthless_removal",
        "rights_distribution", "partial_call", "reorganization",
    }
)  # fmt: skip

Listed = tuple[str, Wire]


class CorporateActions:
    """One endpoint."""

    def __init__(self, time: VenueTime, tape: Tape) -> None:
        self._time, self._tape = time, tape

    def answer(self, asked: Asked) -> Reply:
        """A page by ex-date, then symbol; the limit is for all types together."""
        limit = whole_number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        found = self._found(asked)
        if sort_of(asked) == "desc":
            found.reverse()
        rest = _after(found, asked.query.get("page_token"))
        by_type: dict[str, list[Wire]] = {}
        for name, wire in rest[:limit]:
            by_type.setdefault(f"{name}s", []).append(wire)
        token = rest[limit - 1][1]["id"] if len(rest) > limit else None
        return Reply({"corporate_actions": by_type, "next_page_token": token})

    def _found(self, asked: Asked) -> list[Listed]:
        today = day_of(self._time.now())
        ids, symbols, cusips, types = (_names(asked, name) for name in ("ids", "symbols", "cusips", "types"))
        if ids and (symbols or types or asked.query.get("start") or asked.query.get("end")):
            raise AlpacaError(400, None, "ids cannot be used with other filters")
        unknown = sorted(types - TYPES)
        if unknown:
            raise AlpacaError(400, None, f"invalid type: {unknown[0]}")
        first = LONG_AGO if ids else day_asked(asked, "start", today)
        last = today if ids else day_asked(asked, "end", today)
        if last < first:
            raise AlpacaError(400, None, "end should not be before start")
        told = actions_wire(self._tape.actions(first, min(last, today)))
        return [
            (name, wire)
            for name, wire in told
            if (not types or name in types)
            and (not symbols or wire["symbol"] in symbols)
            and (not ids or wire["id"] in ids)
            and (not cusips or cusips & {wire.get("cusip"), wire.get("old_cusip")})
        ]


def _names(asked: Asked, name: str) -> set[str]:
    return {part.strip() for part in asked.query.get(name, "").split(",")} - {""}


def _after(found: Sequence[Listed], token: str | None) -> Sequence[Listed]:
    """What follows the action whose id the token is."""
    if not token:
        return found
    ids = [wire["id"] for _, wire in found]
    if token not in ids:
        raise AlpacaError(400, None, "invalid page_token")
    return found[ids.index(token) + 1 :]
