"""`trading-pipeline kill` as a process, against venues in processes of their own, while other parts are broken."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.orders import Side
from trading_pipeline.settings import load_settings
from trading_pipeline.venue.faults import FaultRule, FaultScript
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.emergency import kill_means
from trading_pipeline.wiring.rehearsed_doors import DOORS
from trading_pipeline_tests.venue.builders import a_bracket

TRADING_PIPELINE = str(Path(sys.executable).with_name("trading-pipeline"))
HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(120)
"""


@dataclass
class Place:
    """A home, and a venue in a process of its own: `kind` is simulated, alpaca or ib."""

    folder: Path
    kind: str
    ends: ExitStack
    profile: Path = field(init=False)
    venue_url: str = ""
    control_url: str = ""
    home_given: Path | None = None

    @property
    def home(self) -> Path:
        return self.home_given or self.folder / "home"

    def __post_init__(self) -> None:
        ready, verb = self.folder / "ready", "serve" if self.kind == "simulated" else self.kind
        command = [TRADING_PIPELINE, "--home", str(self.folder / "venue"), "venue", verb, "--ready-file", str(ready)]
        self.profile = self.folder / "profile.yaml"
        rules: dict[str, Any] = {"mode": "simulation"}
        door = DOORS.get(self.kind)
        settings = door.settings({}) if door else {}
        self.profile.write_text(yaml.safe_dump({"execution": rules, **settings}))
        self._start([*command, "--profile", str(self.profile)])
        text = until(lambda: ready.read_text() if ready.exists() else "")
        if door:
            addresses = json.loads(text)
            self.control_url = addresses["control"]
            self.profile.write_text(yaml.safe_dump({"execution": rules, **door.settings(addresses)}))
        else:
            self.venue_url = self.control_url = text
        SqlLedger.open(default_url(self.home)).close()

    def _start(self, command: list[str]) -> None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.ends.callback(process.wait)
        self.ends.callback(process.kill)

    @contextmanager
    def venue(self) -> Iterator[Any]:
        """The venue's own word, asked by a client of its own."""
        workspace = Workspace(self.home, load_settings(profile=self.profile))
        with kill_means(workspace, self.venue_url or None).venue() as hand:
            yield hand.broker

    def kill(self, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Its exit code and what it told (JSON)."""
        url = ["--venue-url", self.venue_url] if self.venue_url else []
        command = [TRADING_PIPELINE, "--home", str(self.home), "--profile", str(self.profile), "kill", "--json"]
        done = subprocess.run(
            [*command, *url, "--operator", "Kim", *arguments], capture_output=True, text=True, timeout=60, **options
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


def until(happened: Callable[[], str], seconds: float = 40) -> str:
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return found


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Two entries that work, far below any market."""
    with ExitStack() as ends:
        found = Place(tmp_path, request.param, ends)
        with found.venue() as broker:
            for name in ("one", "two"):
                broker.submit(a_bracket(name, entry=10, stop=5, target=20, symbol="AAPL"))
        yield found


# what is broken meanwhile


def nothing(place: Place) -> dict[str, Any]:
    """No loop and no Dagster runs anyway."""
    return {}


def database_locked(place: Place) -> dict[str, Any]:
    writer = sqlite3.connect(place.home / "ledger.sqlite3", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    place.ends.callback(writer.close)
    return {}


def database_gone(place: Place) -> dict[str, Any]:
    (place.home / "ledger.sqlite3").write_bytes(b"no database" * 1000)
    return {}


def disk_full(place: Place) -> dict[str, Any]:
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}


def stream_stalled(place: Place) -> dict[str, Any]:
    with closing(RemoteMarket(place.control_url)) as market:
        stall = FaultRule.model_validate({"op": "stream", "fault": "stall", "seconds": 60})
        market.play_faults(FaultScript(rules=(stall,)))
    return {}


def loop_hung(place: Place) -> dict[str, Any]:
    """A process that holds this home's lock and does nothing any more."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place.home / "trading.lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    place.ends.callback(holder.wait)
    place.ends.callback(holder.kill)
    return {}


BROKEN = (nothing, database_locked, database_gone, disk_full, stream_stalled, loop_hung)
QUICK = {("simulated", "disk_full"), ("alpaca", "database_locked")}
MATRIX = [
    pytest.param(
        kind, broken, id=f"{kind}-{broken.__name__}",
        marks=[] if (kind, broken.__name__) in QUICK else [pytest.mark.soak],
    )
    for kind in ("simulated", "alpaca", "ib") for broken in BROKEN
]  # fmt: skip


@pytest.mark.parametrize(("place", "broken"), MATRIX, indirect=["place"])
def test_kill_latches_and_cancels_entries_whatever_else_is_broken(
    place: Place, broken: Callable[[Place], dict[str, Any]]
) -> None:
    options = broken(place)

    code, told = place.kill(**options)

    assert code == 0, told
    assert (told["latched"], told["verified"], told["still_working"]) == (True, True, [])
    assert sorted(one["order"] for one in told["canceled"]) == ["one-e", "two-e"]
    assert told["sent_ms"] < 5000
    assert (place.home / "latch-SIM.json").exists()
    with place.venue() as broker:
        assert [order for order in broker.open_orders() if order.side is Side.BUY] == []


@pytest.mark.parametrize("place", ["ib"], indirect=True)
def test_at_ib_only_whoever_holds_the_client_id_cancels_and_once_it_has_ended_kill_does(place: Place) -> None:
    with place.venue():  # a loop that hangs while it is connected
        code, told = place.kill("--patience", "1")
        assert (code, told["latched"], told["verified"]) == (3, True, False)
        assert sorted(one["order"] for one in told["still_working"]) == ["one-e", "two-e"]
        assert told["left_to"] == "the process that is connected as client 11"

    code, told = place.kill()

    assert (code, told["verified"], told["still_working"], told["left_to"]) == (0, True, [], None)


@pytest.mark.soak
@pytest.mark.parametrize("place", ["simulated"], indirect=True)
def test_a_venue_that_is_gone_leaves_the_latch_and_exit_code_3(place: Place) -> None:
    place.ends.close()

    code, told = place.kill("--patience", "1")

    assert (code, told["latched"], told["verified"]) == (3, True, False)
    assert "the venue could not be worked on" in told["problems"][0]


@pytest.mark.soak
@pytest.mark.parametrize("place", ["simulated"], indirect=True)
def test_where_neither_file_nor_record_takes_it_the_exit_code_is_4_and_entries_are_canceled(place: Place) -> None:
    place.home_given = Path("/proc/no-such-home")

    code, told = place.kill()

    assert (code, told["latched"], told["verified"]) == (4, False, True)
