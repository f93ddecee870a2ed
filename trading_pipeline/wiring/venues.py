"""How a room reaches what executes its orders: a venue of its own, a venue process, or a broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from trading_pipeline.adapters.brokers.patient import PatientBroker
from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.orders import AnyRequest
from trading_pipeline.ports import Broker, Clock, Ledger, NewsBell, SimulatedMarket
from trading_pipeline.services.adjustments import ADJUSTMENT
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.venue.engine import SimulatedVenue

PATIENCE_SECONDS = 5.0
"""How long an accelerated clock stands still while a broker does not answer."""


def require_its_venue(ledger: Ledger, account: str, broker: str) -> None:
    """Raises InputError when the account has fills of another venue than `broker` (a Broker's name) on record.

    Record and venue could never agree again. Adjustments by hand belong to whichever venue it is.
    """
    with ledger.read() as tx:
        fills = Counter(fill.broker for fill in tx.fills(account))
    elsewhere = [f"{count} at {name}" for name, count in sorted(fills.items()) if name not in {broker, ADJUSTMENT}]
    if elsewhere:
        raise InputError(
            f"account {account} has fills of another venue on record ({', '.join(elsewhere)}), and {broker} would "
            f"execute now: its record and {broker} could never agree. Set execution.account to a name of its own for "
            f"{broker}, or use another home: --home FOLDER"
        )


def never() -> int:
    """Of venues whose every call is a connection of its own."""
    return 0


@dataclass(frozen=True, slots=True)
class Line:
    """Who takes orders; how often it was connected to so far; and what it must be told of orders that are open.

    bell: rung when it may have news; None where nothing happens but in the loop's own steps. venue_now: its own clock;
    None where it has none but ours. account_id: the broker's own number of the account, as it told it.
    """

    broker: Broker
    connections: Callable[[], int] = never
    restore: Callable[[Sequence[AnyRequest]], None] | None = None
    bell: NewsBell | None = None
    venue_now: Callable[[], datetime] | None = None
    account_id: str = ""


Connect = Callable[[Clock, ExitStack], Line]
"""Makes a line by a clock; what must be ended with it is pushed onto the stack."""


class Access(Protocol):
    """One way to a venue. market: what the loop must move itself; None where the market moves by itself."""

    @property
    def market(self) -> SimulatedMarket | None: ...

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:
        """Who takes orders, by the given clock."""

    def close(self) -> None:
        """Give it back, so that another process may have it."""


@dataclass(frozen=True, slots=True)
class OwnVenue:
    """A venue in this process."""

    venue: SimulatedVenue

    @property
    def market(self) -> SimulatedMarket:
        return self.venue

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:  # noqa: ARG002  one process, one leader
        return Line(SimulatedBroker(self.venue, clock))

    def close(self) -> None:
        self.venue.close()


@dataclass(frozen=True, slots=True)
class VenueProcess:
    """A venue in a process of its own, by its own door; it hears no leader older than the newest it has heard."""

    url: str
    market: RemoteMarket

    @classmethod
    def at(cls, url: str) -> VenueProcess:
        """The venue at a URL."""
        return cls(url, RemoteMarket(url))

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:
        return Line(RemoteBroker(self.url, clock, fence=(lambda: lease.token) if lease else None))

    def close(self) -> None:
        self.market.close()


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """A broker, by its own protocol. market: of a rehearsal, where the loop moves the market behind the door."""

    connect: Connect
    market: RemoteMarket | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:  # noqa: ARG002  no broker knows our tokens
        with ExitStack() as attempt:  # one that fails leaves nothing open: it may be made again
            line = self.connect(clock, attempt)
            self._open.push(attempt.pop_all())
        return line if self.market is None else replace(line, broker=PatientBroker(line.broker, PATIENCE_SECONDS))

    def close(self) -> None:
        self._open.close()
        if self.market is not None:
            self.market.close()
