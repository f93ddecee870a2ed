"""What `up` wrote down about its processes, checked against those that really run."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import ValidationError

from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.processes import ProcessPhase, ProcessState, UpState

MARK = "TRADING_PIPELINE_STARTED_BY_UP_OF"
"""In the environment of everything `up` starts, and of what that starts: the home folder it belongs to."""
FOLDER = "up"
LOCK, STATE, PID = "up.lock", "processes.json", "supervisord.pid"


def up_folder(home: Path) -> Path:
    """Where `up` keeps what it made for itself."""
    return home / FOLDER


def read_processes(home: Path) -> tuple[ProcessState, ...]:
    """The processes of the `up` of this home, as they are now; empty when nothing runs.

    One that was recorded as running and is not there is told as GONE. Raises DataFileError for a record that cannot
    be read.
    """
    state = read_up(home)
    return state.processes if state else ()


def read_up(home: Path) -> UpState | None:
    """The `up` of this home with its processes as they are now; None when none runs and it left nothing behind."""
    path = up_folder(home) / STATE
    try:
        state = UpState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise DataFileError(
            f"{path}, the record of what `up` started, cannot be read ({type(error).__name__}). Stop what runs with "
            "trading-pipeline down, remove the file, and start again with trading-pipeline up."
        ) from error
    is_up = is_supervised(home)
    return state.model_copy(update={"processes": tuple(_now(one, home, is_up=is_up) for one in state.processes)})


def write_up(home: Path, state: UpState) -> None:
    """Replace the record as a whole, so that no reader ever sees half of it."""
    path = up_folder(home) / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    part.replace(path)


def forget_up(home: Path) -> None:
    """Remove the record: everything was stopped in good order."""
    (up_folder(home) / STATE).unlink(missing_ok=True)


def is_supervised(home: Path) -> bool:
    """True while an `up` of this home lives: the kernel keeps its lock, and lets go of it however it ends."""
    if not (home / LOCK).exists():
        return False
    try:
        with FileLock(home / LOCK).acquire(blocking=False):
            return False
    except Timeout:
        return True


def supervisor_of(home: Path) -> int | None:
    """The process that keeps this home up, by its own note of its number; None where that cannot be read."""
    try:
        return int((up_folder(home) / PID).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def leftovers(home: Path) -> list[psutil.Process]:
    """Every process that an `up` of this home started, or one of those did, and that still runs."""
    return [process for process in psutil.process_iter() if _is_of(process, home)]


def end_leftovers(home: Path, patience_seconds: float = 20) -> list[str]:
    """End whatever an `up` of this home left running: asked first, then killed. Returns what there was, in words.

    A session loop among them ends after the step in hand; its stops stay at the venue.
    """
    found = leftovers(home)
    told = [f"{process.pid} ({_called(process)})" for process in found]
    for process in found:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=patience_seconds)
    for process in [*alive, *leftovers(home)]:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    return told


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _called(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:4]) or process.name()
    except psutil.Error:
        return "just ended"


def _now(one: ProcessState, home: Path, *, is_up: bool) -> ProcessState:
    """As it is: supervised, its record is right; alone, it may have ended since."""
    if is_up or one.phase is ProcessPhase.STOPPED:
        return one
    try:
        alive = one.pid is not None and _is_of(psutil.Process(one.pid), home)
    except psutil.NoSuchProcess:
        alive = False
    return one if alive else one.model_copy(update={"phase": ProcessPhase.GONE, "pid": None})


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.environ().get(MARK) == str(home))
    except (psutil.Error, OSError):
        return False
