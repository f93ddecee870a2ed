"""A rehearsal: whole accelerated sessions of the real system against a broker's door, with faults and kills.

The venue is a process that speaks the broker's protocol; each session is a process that trades through the broker's
own client library, as on a real day; only the address differs. Whoever dies is started again, as a supervisor would.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO

import yaml

from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.domain.errors import InputError, TradingError
from trading_pipeline.domain.rehearsal import Disturbances, VenueEye, Verdict
from trading_pipeline.services.rehearsal import judge
from trading_pipeline.settings import Settings
from trading_pipeline.venue.faults import FaultRule, FaultScript
from trading_pipeline.wiring.rehearsed_doors import DOORS, RehearsedDoor
from trading_pipeline.wiring.workspace import SECTORS, Workspace

READY_SECONDS = 60.0
PAUSE_SECONDS = 1.0
MOST_VAIN_STARTS = 12
"""Starts in a row after which a session stands where it stood: then the rehearsal gives up on it."""
FAULTS_TO_BEGIN_AT = 5
"""The first calls of each kind go through, so that a loop can begin at all."""

OWN_LEDGER: dict[str, object] = {"storage": {"database_url": ""}}
AS_SIMULATION: dict[str, object] = {"execution": {"mode": "simulation"}}
"""Whatever mode the home is in: a rehearsal speaks to this machine alone, and needs nobody's approval."""
FOREIGN = (
    "TRADING_PIPELINE__STORAGE__", "TRADING_PIPELINE__BROKER__", "TRADING_PIPELINE__EXECUTION__MODE",
    "TRADING_PIPELINE_ENV_FILE",
)  # fmt: skip
"""Variables of the real account: a process of the rehearsal never sees them."""

OnSession = Callable[[date, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to rehearse. fault_rate: part of all calls that go wrong; kills: per session, by SIGKILL."""

    broker: str
    sessions: Sequence[date]
    seed: int
    fault_rate: float
    kills: int


@dataclass
class Rehearsal:
    """One rehearsal in a folder of its own: its ledger, its venue, its logs. The home is only read."""

    workspace: Workspace
    plan: Plan
    folder: Path
    on_session: OnSession
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.plan.seed)  # noqa: S311 - a rehearsal must be repeatable

    def run(self) -> Verdict:
        """Rehearse every session, then hold the record against the venue."""
        self._furnish()
        done: dict[date, Disturbances] = {}
        with self._door() as addresses:
            self._write_profile(addresses)
            for session in self.plan.sessions:
                done[session] = self._session(session, addresses["control"])
                self.on_session(session, f"{done[session].kills} kills, {done[session].restarts} restarts")
            return self._judge(addresses["control"], done)

    @property
    def profile(self) -> Path:
        """Settings of the rehearsal, on top of the home's own."""
        return self.folder / "rehearsal.yaml"

    def _furnish(self) -> None:
        if self.folder.exists():
            raise InputError(f"{self.folder} exists already: a rehearsal begins empty. Remove it, or name another one")
        self.folder.mkdir(parents=True)
        (self.folder / "bars").symlink_to((self.workspace.home / "bars").resolve())
        if (self.workspace.home / SECTORS).exists():
            shutil.copy(self.workspace.home / SECTORS, self.folder / SECTORS)
        self._write_profile({})
        script = fault_script(DOORS[self.plan.broker], self.plan.fault_rate, self.plan.seed)
        (self.folder / "faults.json").write_text(script.model_dump_json(indent=1), encoding="utf-8")

    def _write_profile(self, addresses: dict[str, str]) -> None:
        own = self.workspace.profile.read_text(encoding="utf-8") if self.workspace.profile else "{}"
        of_door = DOORS[self.plan.broker].settings(addresses)
        merged = _merged(yaml.safe_load(own) or {}, of_door | OWN_LEDGER | AS_SIMULATION)
        self.profile.write_text(yaml.safe_dump(merged), encoding="utf-8")

    def _command(self, *arguments: str) -> list[str]:
        config = ["--config", str(self.workspace.config)] if self.workspace.config else []
        folder = ["--home", str(self.folder), "--profile", str(self.profile)]
        return [sys.executable, "-m", "trading_pipeline.cli", *config, *folder, *arguments]

    def _start(self, arguments: Sequence[str], log: IO[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            self._command(*arguments), stdout=log, stderr=subprocess.STDOUT, env=own_environment()
        )

    @contextmanager
    def _door(self) -> Iterator[dict[str, str]]:
        ready, faults = self.folder / "door.json", self.folder / "faults.json"
        arguments = ("venue", self.plan.broker, "--ready-file", str(ready), "--faults", str(faults))
        with (self.folder / "venue.log").open("w", encoding="utf-8") as log:
            door = self._start(arguments, log)
            try:
                yield _addresses(ready, door, log)
            finally:
                door.terminate()
                door.wait()

    def _session(self, session: date, control: str) -> Disturbances:
        """Run the session's loop until it says that the session is closed; killed at random moments on the way."""
        kills = sorted(self._random.uniform(1.0, 8.0) for _ in range(self.plan.kills))
        started = killed = vain = 0
        while vain < MOST_VAIN_STARTS:
            started, before = started + 1, self._reached(session)
            ended = self._live(session, control, kills[killed] if killed < len(kills) else None)
            if ended == 0:
                break
            killed += ended < 0
            vain = vain + 1 if ended > 0 and self._reached(session) == before else 0
            time.sleep(PAUSE_SECONDS)
        return Disturbances(kills=killed, restarts=started - 1)

    def _rehearsed(self) -> Workspace:
        """The rehearsal's own home, whose ledger is a file in it, wherever the home's own is."""
        own = Settings.model_validate(self.workspace.settings.model_dump() | OWN_LEDGER)
        return Workspace(self.folder, own)

    def _reached(self, session: date) -> datetime | None:
        with closing(self._rehearsed().ledger) as ledger, ledger.read() as tx:
            record = tx.session_record(self.workspace.settings.execution.account, session)
        return record.cursor_at if record else None

    def _live(self, session: date, control: str, die_after: float | None) -> int:
        arguments = ("session", "run", "--session", session.isoformat(), "--accelerated", "--market-url", control)
        with (self.folder / "loop.log").open("a", encoding="utf-8") as log:
            loop = self._start(arguments, log)
            try:
                return loop.wait(die_after)
            except subprocess.TimeoutExpired:
                loop.kill()
                return loop.wait()
            except BaseException:
                loop.terminate()
                loop.wait()
                raise

    def _judge(self, control: str, done: dict[date, Disturbances]) -> Verdict:
        last = self.workspace.calendar.times(max(done))
        rehearsed = self._rehearsed()
        with closing(RemoteMarket(control)) as market, closing(rehearsed.ledger) as ledger:
            watched = market.watched()
            gaps = [(gap.seconds(watched.now), gap) for gap in watched.gaps]
            eye = VenueEye(
                longest_gap_seconds=max((seconds for seconds, _ in gaps), default=0.0),
                gaps=tuple(f"{g.shares} {g.symbol} from {g.since:%Y-%m-%d %H:%M:%S} for {s:g} s" for s, g in gaps),
                faults=watched.faults,
            )
            venue = RemoteBroker(control, ReplayClock(last.closes_at))
            return judge(ledger, venue, eye, self.workspace.settings.execution.account, done, self.plan.broker)


def own_environment() -> dict[str, str]:
    """The environment without what points at the real ledger and the real broker."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}


def fault_script(door: RehearsedDoor, rate: float, seed: int) -> FaultScript:
    """Each kind of fault of the door, so often that together a call goes wrong at `rate`; none at 0."""
    rules = [] if not rate else [
        FaultRule(fault=fault, op=op, nth=FAULTS_TO_BEGIN_AT, times=0, probability=rate / len(kinds), seconds=seconds)
        for op, kinds in door.faults.items() for fault, seconds in kinds.items()
    ]  # fmt: skip
    return FaultScript(rules=tuple(rules), seed=seed)


def _addresses(ready: Path, door: subprocess.Popen[bytes], log: IO[str]) -> dict[str, str]:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and door.poll() is None:
        if ready.exists() and (text := ready.read_text(encoding="utf-8")):
            found: dict[str, str] = json.loads(text)
            return found
        time.sleep(0.05)
    raise TradingError(f"the venue process did not come up within {READY_SECONDS:g} s: see {log.name}")


def _merged(base: dict[str, object], top: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
