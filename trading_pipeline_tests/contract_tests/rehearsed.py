"""A world whose venue can misbehave: what tests of the contract need beyond a market that moves.

What one venue does differently by its nature stands in its Nature, with the reason: tests go by it and say it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import pytest

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import AnyRequest, ExecType, OrdStatus
from trading_pipeline.ports import Broker
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Fault, FaultRule
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, World
from trading_pipeline_tests.venue.builders import flat

T = TypeVar("T")


class Call(StrEnum):
    """What a client says or hears; each door has names of its own for these."""

    SUBMIT = "submit"
    REPLACE = "replace"
    CANCEL = "cancel"
    LOOK = "look"
    NEWS = "news"
    ANY = "any"


class Setup(StrEnum):
    """Ways a user can have set things up wrong."""

    WRONG_KEYS = "wrong keys"
    REVOKED_KEYS = "revoked keys"
    WRONG_PORT = "wrong port"
    NOT_A_BROKER = "a port where something else answers"
    SECOND_CLIENT = "a client id that is in use"
    READ_ONLY = "a read-only API"
    BLOCKED = "a blocked account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What is so at one venue and not at every one.

    cannot: faults that its way of talking does not have, and why. cannot_be_set_up: the same for set-ups.
    legs_wait: a bracket's legs protect nothing before the whole entry is filled. lists_symbols: it knows which symbols
    there are. replaces_partly_filled: a partly filled order may get another price.
    """

    cannot: Mapping[Fault, str] = field(default_factory=dict)
    cannot_be_set_up: Mapping[Setup, str] = field(default_factory=dict)
    legs_wait: bool = False
    lists_symbols: bool = True
    replaces_partly_filled: bool = True


class Rehearsed(World, Protocol):
    """A world whose venue plays faults, and whose broker can end and begin again."""

    clock: StandingClock
    minute: int

    @property
    def nature(self) -> Nature:
        """How this venue is."""

    @property
    def venue(self) -> SimulatedVenue:
        """The account from inside: what really happened. To look at."""

    def deliver(self, *bars: MarketBar) -> None:
        """The market delivers bars; the clock goes on to their end."""

    def play(self, call: Call, fault: Fault, **details: Any) -> None:
        """Begin a script: this fault at such calls. details: times, seconds, client_order_id of a FaultRule."""

    def heal(self) -> None:
        """Nothing goes wrong any more."""

    def halt(self, minutes: int) -> None:
        """AAA is halted for so many minutes, from now on."""

    def cut_news(self) -> None:
        """The next news do not come: what they would come by ends."""

    def listen(self) -> None:
        """Connect to the news, where there are news to connect to."""

    def await_connection(self, times: int) -> None:
        """Wait until the broker or its news have connected so many times since `listen`."""

    def hang_up(self) -> None:
        """The broker's process ends, orderly, and nothing follows yet."""

    def reopen(self) -> None:
        """A new process begins with what the former one had on disk."""

    def forget(self) -> None:
        """A new process begins, and the files of the former one are lost."""

    def stranger(self) -> Broker:
        """Somebody else's program at the same account."""

    def set_up(self, setup: Setup) -> Broker:
        """A broker of a user who has set it up so."""

    def child(self) -> dict[str, Any]:
        """What trader.py needs to open the same broker in a process of its own (JSON)."""


def require_playable(world: Rehearsed, fault: Fault) -> None:
    """Skip, with the reason that is on record, what this venue's way of talking does not have."""
    if fault in world.nature.cannot:
        pytest.skip(f"stated difference: {world.nature.cannot[fault]}")


def rule(op: str, fault: Fault, details: Mapping[str, Any]) -> FaultRule:
    return FaultRule.model_validate({"op": op, "fault": fault, **details})


def attempt(world: Rehearsed, request: AnyRequest) -> str | None:
    """The venue's id, or None where the outcome is unknown."""
    with suppress(OutcomeUnknown):
        return world.broker.submit(request)
    return None


def in_the_end(ask: Callable[[], T], seconds: float = 10.0) -> T:
    """The first answer that is not in doubt; a broker may take a moment to connect again."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except OutcomeUnknown:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def healed(world: Rehearsed) -> None:
    """Nothing goes wrong any more, and the broker has connected again, however busy this machine is."""
    world.heal()
    in_the_end(world.broker.positions)


def overfill(world: Rehearsed, client_order_id: str, shares: int) -> None:
    """The venue tells of more shares at 99 than were ordered; it makes no such mistake by itself."""
    with world.venue._change() as book:
        ticket, now = book.tickets[client_order_id], world.clock.now()
        book.report(ticket, ExecType.TRADE, now, last_qty=Decimal(shares), last_px=Decimal(99))


def a_few(world: Rehearsed, price: int | str, shares: int = 10) -> None:
    """A minute in which no order gets more than so many shares."""
    world.deliver(flat(world.minute, price, volume=10 * shares))


def entries_at_venue(world: Rehearsed) -> list[str]:
    """Every purchase the venue ever took, by id: the witness against doubling."""
    tickets = world.venue.book().tickets.values()
    return sorted(t.client_order_id for t in tickets if t.is_buy and t.status is not OrdStatus.REJECTED)


def trades_at_venue(world: Rehearsed) -> list[tuple[Decimal, Decimal]]:
    """(shares, price) of every execution, as the venue knows it."""
    return sorted((r.last_qty, r.last_px) for r in world.venue.reports if r.exec_type is ExecType.TRADE)


def trades_told(world: Rehearsed) -> list[tuple[Decimal, Decimal]]:
    """(shares, price) of every execution, as the broker tells it: each exec_id once."""
    told = {r.exec_id: r for r in world.broker.execution_reports(LONG_AGO) if r.exec_type is ExecType.TRADE}
    return sorted((r.last_qty, r.last_px) for r in told.values())
