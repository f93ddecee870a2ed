"""up and down: everything one machine needs, under one supervisor."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import typer
from filelock import FileLock, Timeout

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.processes import (
    LOCK,
    end_leftovers,
    forget_up,
    is_supervised,
    read_up,
    supervisor_of,
    write_up,
)
from trading_pipeline.adapters.sockets import LOOPBACK, require_free
from trading_pipeline.adapters.supervisor import LOGS, Supervision
from trading_pipeline.cli.context import Options
from trading_pipeline.cli.output import complain, print_table, say
from trading_pipeline.cli.programs import HEALTH_PORT, MEANING, UI_PORT, Plan
from trading_pipeline.domain.errors import DataFileError, HomeInUseError, InputError
from trading_pipeline.domain.processes import ProcessPhase, ProcessState, UpState
from trading_pipeline.settings import resolve_home

HealthOption = Annotated[
    int,
    typer.Option("--health-port", help="Port of /healthz and /metrics on 127.0.0.1; 0: not served", min=0, max=65535),
]
PortOption = Annotated[int, typer.Option("--port", help="Port of the UI on 127.0.0.1", min=1, max=65535)]
READY_SECONDS, STOP_SECONDS, LEFTOVER_SECONDS = 300, 120, 20
OWN_LOG = "up.log"


def up(
    context: typer.Context,
    port: PortOption = UI_PORT,
    health_port: HealthOption = HEALTH_PORT,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background; ends with: down")] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Schedules and sensors off: nothing starts by itself")
    ] = False,
) -> None:
    """Start the UI, the daemon and the session loop, keep them alive, and stop them all at Ctrl-C or `down`."""
    plan = Plan.of(context.obj or Options(), port=port, automation=not paused, health_port=health_port or None)
    if detach:
        start_detached(plan)
    else:
        keep_up(plan)


def down(context: typer.Context) -> None:
    """Stop what `up` started in this home; the loop ends after the step in hand, stops stay at the venue."""
    home = resolve_home((context.obj or Options()).home)
    state = _recorded(home)
    if was_up := is_supervised(home):
        pid = state.pid if state else supervisor_of(home)
        if pid is None:
            raise HomeInUseError(f"{home} is up, and no record says which process keeps it so. {_by_hand(home)}")
        say(f"stopping what process {pid} keeps up in {home} ...")
        if not _end(pid):
            raise HomeInUseError(f"process {pid} has not ended within {STOP_SECONDS} s. {_by_hand(home)}")
    left = end_leftovers(home)
    forget_up(home)
    if left:
        say(f"ended {len(left)} left from an `up` that was killed: {', '.join(left)}")
    say("all stopped." if was_up or state or left else f"nothing runs in {home}.")


def _by_hand(home: Path) -> str:
    return f"`fuser {home / LOCK}` names it: kill -9 PID (stops stay at the venue), then trading-pipeline down again"


def _end(pid: int) -> bool:
    """Ask it to end and wait until it has. One that ended and that its parent has not looked at yet has ended too.

    False when it still runs.
    """
    with suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(pid)
        supervisor.terminate()
        for _ in range(STOP_SECONDS * 10):
            if not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.1)
        return False
    return True


def keep_up(plan: Plan, *, patience_seconds: float = LEFTOVER_SECONDS) -> None:
    """Run the plan's processes in the foreground until this process is asked to stop; none of them is left then.

    patience_seconds: how long what is found running without a parent may take to end before it is killed.
    """
    os.umask(0o077)
    with _only_one(plan.home):
        _require_free_ports(plan)
        _require_channels(plan)
        if left := end_leftovers(plan.home, patience_seconds):
            say(f"ended {len(left)} left from an `up` that was killed: {', '.join(left)}")
        plan.set_environment()
        programs = plan.programs()
        screen = Screen(plan)
        screen.welcome([one.name for one in programs])
        try:
            Supervision(
                home=plan.home, programs=programs, clock=SystemClock(), on_change=screen.tell, on_tick=screen.look,
                logs=plan.settings.logs,
            ).run()  # fmt: skip
        finally:
            end_leftovers(plan.home, patience_seconds)
            plan.socket.unlink(missing_ok=True)
            forget_up(plan.home)
        screen.say("all stopped.")


@dataclass(slots=True)
class Screen:
    """What a person watching sees, and what the home keeps for others to read."""

    plan: Plan
    _clock: SystemClock = field(default_factory=SystemClock)
    _state: UpState | None = None
    _stopping: bool = False

    def welcome(self, names: Sequence[str]) -> None:
        """Where, as whom, and what is about to start."""
        plan, rules = self.plan, self.plan.settings.execution
        automation = "on" if plan.automation else "off, but for those turned on in the UI"
        self.say(f"account {rules.account}, {rules.mode}, in {plan.home}; schedules and sensors are {automation}")
        with suppress(OSError):
            print_table(("process", "what it does", "log"), [(n, MEANING[n], f"{LOGS}/{n}.log") for n in names])
        self._state = UpState(pid=os.getpid(), address=plan.address, ports=plan.ports, started_at=self._clock.now())
        write_up(plan.home, self._state)

    def tell(self, state: ProcessState) -> None:
        """A line for each change a person wants to know of."""
        again = f", restart {state.restarts}" if state.restarts else ""
        if state.phase is ProcessPhase.STARTING and state.pid:
            self.say(f"{state.name} started (process {state.pid}{again})")
        elif state.phase is ProcessPhase.WAITING:
            why = state.last_end or "it cannot be started"
            self.say(f"{state.name} ended ({why}) and is started again; its log: {state.log}")
        elif state.phase is ProcessPhase.STOPPING and not self._stopping:
            self._stopping = True
            self.say("stopping; the session loop ends after the step in hand, stops stay at the venue ...")

    def look(self, processes: Sequence[ProcessState]) -> None:
        """Keep the record, and say once when the UI answers."""
        assert self._state is not None
        state = self._state.model_copy(update={"processes": tuple(processes)})
        if state.ready_at is None and _answers(self.plan.port):
            state = state.model_copy(update={"ready_at": self._clock.now()})
            self.say(f"ready: {state.address}  (stop: Ctrl-C, or trading-pipeline down; look: trading-pipeline status)")
        if state != self._state:
            self._state = state
            write_up(self.plan.home, state)

    def say(self, text: str) -> None:
        """A line with its time. A terminal that is gone stops nothing: what goes to it is dropped from then on."""
        try:
            say(f"{self._clock.now():%H:%M:%S} {text}")
            sys.stdout.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(nowhere, stream)


def start_detached(plan: Plan) -> None:
    """Start `up` in a session of its own and return when the UI answers; what it says goes to logs/up.log."""
    _refuse_second(plan.home)
    _require_free_ports(plan)
    _require_channels(plan)
    log = plan.home / LOGS / OWN_LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting in the background; log: {log}")
    with log.open("wb") as said:
        child = subprocess.Popen(  # noqa: S603  this command itself
            _same_command(plan), stdin=subprocess.DEVNULL, stdout=said,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        is_ready = _wait_until_ready(plan.home, child)
    except KeyboardInterrupt:
        child.terminate()
        child.wait(STOP_SECONDS)
        raise
    if child.poll() is not None:
        raise typer.Exit(complain(f"it ended at once:\n{_said(log)}"))
    if not is_ready:
        raise typer.Exit(complain(f"the UI does not answer after {READY_SECONDS} s; it goes on trying. See {log}"))
    say(f"ready: {plan.address}  (process {child.pid}; stop: trading-pipeline down)")


def _said(log: Path) -> str:
    """Its own words; a full disk takes none."""
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    return said or "it could not even say why: trading-pipeline doctor, and look whether the disk is full"


def _require_channels(plan: Plan) -> None:
    """Raises SettingsError for a channel of alerts whose address nobody understands: here, not in the relay's log."""
    if plan.settings.alerts.in_order():
        from trading_pipeline.wiring.alerts import open_lines

        open_lines(plan.settings)  # sends nothing


def _require_free_ports(plan: Plan) -> None:
    if plan.port == plan.health_port:
        raise InputError(f"--port and --health-port are both {plan.port}: give one of them another, or --health-port 0")
    require_free(plan.port, "--port")
    if plan.health_port is not None:
        require_free(plan.health_port, "--health-port")


def _same_command(plan: Plan) -> list[str]:
    given = {"--home": plan.home, "--config": plan.config, "--profile": plan.profile, "--port": plan.port,
             "--health-port": plan.health_port or 0}  # fmt: skip
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return [sys.executable, "-m", "trading_pipeline.cli", "up", *words, *([] if plan.automation else ["--paused"])]


def _wait_until_ready(home: Path, child: subprocess.Popen[bytes]) -> bool:
    for _ in range(READY_SECONDS * 5):
        if child.poll() is not None:
            return False
        state = _recorded(home)
        if state is not None and state.pid == child.pid and state.ready_at is not None:
            return True
        time.sleep(0.2)
    return False


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / LOCK).acquire(timeout=1):
            yield
    except Timeout as error:
        raise _second(home) from error


def _refuse_second(home: Path) -> None:
    if is_supervised(home):
        raise _second(home)


def _second(home: Path) -> HomeInUseError:
    state = _recorded(home)
    who = f"process {state.pid}, UI on {state.address}" if state else "another process"
    return HomeInUseError(
        f"{home} is up already ({who}). See it: trading-pipeline status; stop it: trading-pipeline down; or use "
        "another home: --home FOLDER"
    )


def _recorded(home: Path) -> UpState | None:
    try:
        return read_up(home)
    except DataFileError:
        return None


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=0.5)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
