"""An IbBroker at the TWS door of a simulated venue, through the real client library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports
from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultRule, FaultScript
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld
from trading_pipeline_tests.venue.builders import SESSION
from trading_pipeline_tests.venue.tws.doors import TwsDoors

QUICK = IbRules(messages_per_second=1_000, timeout_seconds=5.0)
HASTY = QUICK.model_copy(update={"timeout_seconds": 0.6})


class IbWorld(TradedWorld):
    """`venue` looks at the account from inside; `files` is where the broker keeps what it must not forget."""

    broker: IbBroker
    market: RemoteMarket

    def __init__(
        self, doors: TwsDoors, venue: SimulatedVenue, files: Path, rules: IbRules = QUICK, client_id: int = 11
    ) -> None:
        self.doors, self.venue, self.files = doors, venue, files
        self.rules = rules.model_copy(update={"host": doors.host, "port": doors.port, "client_id": client_id})
        clock = StandingClock(SESSION.opens_at)
        super().__init__(clock, a_broker(self.rules, clock, files), doors.market)

    def play(self, *rules: FaultRule) -> None:
        self.market.play_faults(FaultScript(rules=rules))

    def restart(self, *, forget: bool = False) -> None:
        """The process ends, and another one begins with the same files, or with none."""
        self.broker.close()
        self.files = self.files / "anew" if forget else self.files
        self.broker = a_broker(self.rules, self.clock, self.files)
        self.check_account()

    def check_account(self) -> None:
        """As whoever makes a broker does before anything else."""
        self.broker.check_account("", is_live=not self.doors.door.account.name.startswith("D"))

    def another(self, rules: IbRules) -> IbBroker:
        """A broker over the same files by other rules."""
        return a_broker(rules, self.clock, self.files)


def until(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so; fails when it never is."""
    for _ in range(int(seconds / 0.01)):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"not so within {seconds} s")


def a_broker(rules: IbRules, clock: StandingClock, files: Path, account_id: str = "") -> IbBroker:
    ids, told = VenueIds(files / "ids.db"), ToldReports(files / "told.db")
    return IbBroker(rules, clock, ids, told, account_id)
