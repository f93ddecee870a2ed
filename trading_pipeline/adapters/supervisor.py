"""Keeping processes alive, with supervisord's engine in this process: started, logged, started again, stopped.

supervisord's own settings file is written anew at each start. Commands and paths are no part of it: no quoting rule of
that file can change them. A process that ends is started again after a pause that grows by a second with each try in a
row; it is never given up. What happens is told to the caller as it happens.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor import events, states, supervisord
from supervisor.medusa import asyncore_25
from supervisor.options import ServerOptions, decode_wait_status

from trading_pipeline.adapters.processes import PID, up_folder
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.domain.log_rules import LogRules
from trading_pipeline.domain.processes import ProcessPhase, ProcessState
from trading_pipeline.ports import Clock

LOGS = "logs"
NEVER_GIVE_UP = 10**9
SIGNALS_TO_END = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
SIGNAL_OF_A_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)
PHASES = {
    states.ProcessStates.STARTING: ProcessPhase.STARTING,
    states.ProcessStates.RUNNING: ProcessPhase.RUNNING,
    states.ProcessStates.BACKOFF: ProcessPhase.WAITING,
    states.ProcessStates.EXITED: ProcessPhase.WAITING,
    states.ProcessStates.STOPPING: ProcessPhase.STOPPING,
}
"""What supervisord calls a phase; whatever else it knows is STOPPED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep alive. steady_seconds: one that ends sooner waits longer each time before it is started again;
    patience_seconds: how long it and all it started may take to end when asked to, before they are killed."""

    name: str
    command: tuple[str, ...]
    steady_seconds: int = 10
    patience_seconds: int = 15


Changed = Callable[[ProcessState], None]


@dataclass(slots=True)
class Supervision:
    """Programs kept alive until this process is asked to stop; then they are stopped, the last one first.

    on_change: told each change of a process, as it happens. on_tick: called about once a second; must return soon.
    Runs in the main thread, which takes the signals.
    """

    home: Path
    programs: Sequence[Program]
    clock: Clock
    on_change: Changed
    on_tick: Callable[[Sequence[ProcessState]], None]
    logs: LogRules = field(default_factory=LogRules)
    _known: dict[str, ProcessState] = field(default_factory=dict)

    def run(self) -> None:
        """Start all, keep them alive, and return once SIGTERM, SIGINT, SIGHUP or SIGQUIT came and all have ended."""
        options = self._options()
        try:
            _Engine(options, self).main()
        except asyncore_25.ExitNow:
            return
        finally:
            options.close_logger()

    def states(self) -> tuple[ProcessState, ...]:
        """Every process as it is now, in the order they are started."""
        return tuple(self._known[one.name] for one in self.programs if one.name in self._known)

    def _options(self) -> _Options:
        folder = up_folder(self.home)
        for one in (folder, self.home / LOGS):
            one.mkdir(parents=True, exist_ok=True)
        rules = folder / "supervisord.conf"
        rules.write_text("\n".join([self._own_rules(), *map(self._rules_of, self.programs)]), encoding="utf-8")
        options = _Options()
        options.realize(["--configuration", str(rules)], doc="")
        options.logfile, options.pidfile = str(self._log_of("supervisor")), str(folder / PID)
        options.first, options.test = True, False
        for group in options.process_group_configs:
            (config,) = group.process_configs
            config.command = shlex.join(next(one.command for one in self.programs if one.name == config.name))
            config.stdout_logfile = str(self._log_of(config.name))
        return options

    def _log_of(self, name: str) -> Path:
        return self.home / LOGS / f"{name}.log"

    def _own_rules(self) -> str:
        user = "user = root\n" if os.geteuid() == 0 else ""  # it warns of root that was not asked for
        return (
            f"[supervisord]\nnodaemon = true\nsilent = true\nnocleanup = true\nstrip_ansi = true\nminfds = 256\n{user}"
            f"logfile_maxbytes = {self.logs.max_megabytes}MB\nlogfile_backups = {self.logs.files - 1}\n"
        )

    def _rules_of(self, one: Program) -> str:
        return (
            f"[program:{one.name}]\ncommand = told separately\npriority = {self.programs.index(one)}\n"
            f"autorestart = true\nstartretries = {NEVER_GIVE_UP}\nstartsecs = {one.steady_seconds}\n"
            f"stopsignal = TERM\nstopwaitsecs = {one.patience_seconds}\nstopasgroup = true\nkillasgroup = true\n"
            f"redirect_stderr = true\nstdout_logfile = NONE\n"
            f"stdout_logfile_maxbytes = {self.logs.max_megabytes}MB\nstdout_logfile_backups = {self.logs.files - 1}\n"
        )

    def note(self, process: Any, phase: ProcessPhase, end: str) -> None:
        """A process came into a phase; tell what is new about it."""
        name, before = process.config.name, self._known.get(process.config.name)
        is_again = phase is ProcessPhase.STARTING and before is not None and before.phase is not phase
        state = ProcessState(
            name=name,
            phase=phase,
            pid=(process.pid or None) if phase not in {ProcessPhase.WAITING, ProcessPhase.STOPPED} else None,
            since=self.clock.now() if before is None or before.phase is not phase else before.since,
            restarts=(before.restarts if before else 0) + is_again,
            last_end=end or (before.last_end if before else ""),
            log=str(self._log_of(name)),
        )
        if state != before:
            self._known[name] = state
            self.on_change(state)


class _Options(ServerOptions):  # type: ignore[misc]  # supervisor has no types
    """supervisord's settings and its calls to the system: a closed terminal ends it, and its end ends its children."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[int, str] = {}
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def get_signal(self) -> int | None:
        """supervisord would start all anew at SIGHUP; here the terminal was closed."""
        found: int | None = super().get_signal()
        return signal.SIGTERM if found in SIGNALS_TO_END else found

    def waitpid(self) -> tuple[int | None, int | None]:
        """As supervisord does it, and remember in words how the process ended."""
        pid, status = super().waitpid()
        if pid:
            self.ends[pid] = decode_wait_status(status)[1]
        return pid, status

    def setpgrp(self) -> None:
        """In the new process: a group of its own, and a request to end when this process is killed."""
        super().setpgrp()
        if self._prctl is not None:
            self._prctl(SIGNAL_OF_A_PARENTS_DEATH, signal.SIGTERM)

    def usage(self, message: str) -> None:
        """supervisord would print it and exit."""
        raise TradingPipelineError(f"processes cannot be supervised here: {message}")


class _Engine(supervisord.Supervisor):  # type: ignore[misc]  # supervisor has no types
    """supervisord's loop, telling a Supervision what happens."""

    def __init__(self, options: _Options, told: Supervision) -> None:
        super().__init__(options)
        self._told = told

    def runforever(self) -> None:
        """Until all have ended."""
        events.subscribe(events.ProcessStateEvent, self._changed)
        super().runforever()

    def tick(self, now: float | None = None) -> None:
        """About once a second."""
        super().tick(now)
        for process in self._processes():  # a number is given after the phase is told
            self._told.note(process, _phase(process), "")
        self._told.on_tick(self._told.states())

    def _processes(self) -> list[Any]:
        return [process for group in self.process_groups.values() for process in group.processes.values()]

    def _changed(self, event: Any) -> None:
        process = event.process  # its number is still known, and is forgotten next
        self._told.note(process, _phase(process), self.options.ends.pop(process.pid, ""))


def _phase(process: Any) -> ProcessPhase:
    return PHASES.get(process.get_state(), ProcessPhase.STOPPED)
