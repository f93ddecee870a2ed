"""The venue as a process: it starts, ends in order, and loses nothing it acknowledged when it is killed."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from filelock import FileLock

from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecType
from trading_pipeline.ports import VenueAccount
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultRule, FaultScript
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.contract_tests.broker import LONG_AGO
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, at, flat

START_SECONDS, END_SECONDS = 30, 5
ROUNDS = 4
TRADING_PIPELINE = Path(sys.executable).with_name("trading-pipeline")


@dataclass
class VenueProcess:
    """`trading-pipeline venue serve` in a home of its own, started again after each kill."""

    home: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    starts: Iterator[int] = field(default_factory=itertools.count)

    def start(self, *arguments: str) -> str:
        """Its URL, once it takes connections."""
        ready = self.home / f"ready-{next(self.starts)}"
        command = [str(TRADING_PIPELINE), "venue", "serve", "--home", str(self.home)]
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        for _ in range(START_SECONDS * 100):
            if ready.exists() and (url := ready.read_text()):
                return url
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        raise AssertionError("the venue did not start")

    def kill(self) -> None:
        process = self.running.pop()
        process.kill()
        process.communicate()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[VenueProcess]:
    served = VenueProcess(tmp_path)
    yield served
    for one in served.running:
        one.kill()
        one.communicate()


def test_it_says_where_it_is_and_ends_in_order(process: VenueProcess) -> None:
    url = process.start()
    RemoteBroker(url, StandingClock(at(0))).submit(a_bracket())
    (one,) = process.running

    one.send_signal(signal.SIGTERM)
    out, _ = one.communicate(timeout=END_SECONDS)

    assert one.returncode == 0
    assert f"at {url}" in out
    assert len(SimulatedVenue(process.home / "venue.sqlite3", VenueRules()).open_orders()) == 3


def test_a_second_one_in_the_same_home_says_so(process: VenueProcess) -> None:
    with (
        FileLock(process.home / "venue.lock"),
        pytest.raises(AssertionError, match="another process serves the venue"),
    ):
        process.start()


def test_it_plays_a_script_from_its_start(process: VenueProcess) -> None:
    script = process.home / "faults.json"
    script.write_text(FaultScript(rules=(FaultRule.model_validate({"fault": "drop_reply"}),)).model_dump_json())
    broker = RemoteBroker(process.start("--faults", str(script)), StandingClock(at(0)))

    with pytest.raises(OutcomeUnknown):
        broker.submit(a_bracket())

    assert broker.order("b-e") is not None


def test_kill_9_in_the_middle_of_calls_loses_nothing_acknowledged_and_doubles_nothing(process: VenueProcess) -> None:
    chance = random.Random(7)
    clock, trader = StandingClock(SESSION.opens_at), Trader()
    for _ in range(ROUNDS):
        url = process.start()
        killer = threading.Timer(chance.uniform(0, 0.03), process.running[-1].kill)
        trader.trade_until_it_dies(RemoteBroker(url, clock), RemoteMarket(url), clock, killer, chance.randrange(5, 20))
        process.kill()
    acknowledged = [f"b{number}-e" for number in range(trader.acknowledged)]
    assert len(acknowledged) > ROUNDS
    venue = SimulatedVenue(process.home / "venue.sqlite3", VenueRules())
    reports = venue.execution_reports(LONG_AGO)
    assert all(venue.order(name) for name in acknowledged)
    assert len({report.exec_id for report in reports}) == len(reports)
    news = [report.client_order_id for report in reports if report.exec_type is ExecType.NEW]
    assert len(set(news)) == len(news)
    assert adds_up(venue)


@dataclass
class Trader:
    """Enters and stops out bracket after bracket, three minutes each; what is in doubt is asked for again as it was."""

    acknowledged: int = 0
    done: int = 0

    def trade_until_it_dies(
        self, broker: RemoteBroker, market: RemoteMarket, clock: StandingClock, killer: threading.Timer, after: int
    ) -> None:
        last = self.done + after
        try:
            while True:
                if self.done == last:
                    killer.start()
                broker.submit(a_bracket(f"b{self.done}", quantity=10))
                self.acknowledged = self.done + 1
                for minute, price in enumerate((99, 94, 94), start=3 * self.done):
                    bar = flat(minute, price)
                    clock.sleep_until(bar.end_at)
                    market.on_bars([bar], clock.now())
                self.done += 1
        except OutcomeUnknown:
            return


def adds_up(venue: SimulatedVenue) -> bool:
    """Cash and shares are what the fills say."""
    signs = {"e": -1, "s": 1, "t": 1}
    fills = [report for report in venue.execution_reports(LONG_AGO) if report.exec_type is ExecType.TRADE]
    flow = sum((signs[f.client_order_id[-1]] * f.last_qty * f.last_px - f.commission for f in fills), Decimal(0))
    held = -sum((signs[f.client_order_id[-1]] * f.last_qty for f in fills), Decimal(0))
    account: VenueAccount = venue.account()
    return account.cash_usd == 100_000 + flow and sum(p.quantity for p in venue.positions()) == held
