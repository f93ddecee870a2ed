"""`up` as a real process with real children: whatever ends it, none of them is left."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from trading_pipeline.adapters.processes import end_leftovers, leftovers, read_processes, read_up, up_folder
from trading_pipeline.adapters.sockets import LONGEST_SOCKET_PATH, is_free, require_free, short_socket
from trading_pipeline.adapters.start_after import is_listened_on
from trading_pipeline.cli.app import app
from trading_pipeline.cli.up import STOP_SECONDS, _said
from trading_pipeline.domain.errors import DataFileError, InputError
from trading_pipeline.domain.processes import ProcessPhase, ProcessState
from trading_pipeline_tests.test_docs import ROOT

PATIENCE = 60.0


@dataclass(slots=True)
class Tiny:
    """A running `tiny_up` and what is known of it."""

    home: Path
    port: int
    process: subprocess.Popen[str]

    def by_name(self) -> dict[str, ProcessState]:
        return {one.name: one for one in read_processes(self.home)}

    def is_ready(self) -> bool:
        return is_ready(self.home)

    def said(self) -> str:
        output, _ = self.process.communicate(timeout=PATIENCE)
        return output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def is_ready(home: Path) -> bool:
    state = read_up(home)
    return state is not None and state.ready_at is not None and len(leftovers(home)) >= 4


def wait_for(happened: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, f"{what} did not happen within {PATIENCE:.0f} s"
        time.sleep(0.2)


def ignore_no_signal() -> None:
    """As in a terminal, however the tests were started: what is ignored stays so in every child."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start_tiny(home: Path, port: int) -> Tiny:
    process = subprocess.Popen(
        [sys.executable, "-m", "trading_pipeline_tests.cli.tiny_up", str(home), str(port)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=ignore_no_signal,  # noqa: PLW1509 one thread here
    )  # fmt: skip
    return Tiny(home, port, process)


def ended(processes: Sequence[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def a_tiny_up(home: Path) -> Iterator[Tiny]:
    """An `up` that is ready."""
    started = start_tiny(home, free_port())
    try:
        wait_for(lambda: started.process.poll() is not None or started.is_ready(), "ready")
        assert started.process.poll() is None, started.said()
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        end_leftovers(home, patience_seconds=0.5)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """In a home whose name no shell, settings file or URI would take as it is."""
    with a_tiny_up(tmp_path / "my home % #;x 'ü") as started:
        yield started


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """For tests that only look, or kill a child."""
    with a_tiny_up(tmp_path_factory.mktemp("watched")) as started:
        yield started


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_whatever_asks_it_to_stop_no_child_is_left(tiny: Tiny, number: signal.Signals) -> None:
    children = psutil.Process(tiny.process.pid).children(recursive=True) + leftovers(tiny.home)

    tiny.process.send_signal(number)
    said = tiny.said()

    assert tiny.process.returncode == 0, said
    assert ended(children)
    assert leftovers(tiny.home) == []
    assert (read_processes(tiny.home), is_free(tiny.port)) == ((), True)
    assert f"ready: http://127.0.0.1:{tiny.port}" in said
    assert said.rstrip().endswith("all stopped.")


@pytest.mark.parametrize("how", ["ctrl-c", "closed"])
def test_a_terminal_that_is_closed_or_interrupts_leaves_nothing(tmp_path: Path, how: str) -> None:
    home, port = tmp_path / "home", free_port()
    pid, terminal = pty.fork()
    if pid == 0:
        ignore_no_signal()
        os.chdir(ROOT)
        command = [sys.executable, "-m", "trading_pipeline_tests.cli.tiny_up", str(home), str(port)]
        os.execv(sys.executable, command)  # noqa: S606
    wait_for(lambda: is_ready(home), "ready")

    if how == "ctrl-c":
        os.write(terminal, b"\x03")
    else:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert leftovers(home) == []


def test_a_process_that_is_killed_is_started_again(watched: Tiny) -> None:
    before = watched.by_name()
    killed = before["page"].pid
    assert killed is not None
    psutil.Process(killed).kill()

    wait_for(lambda: watched.by_name()["page"].pid not in {killed, None}, "a second page")
    after = watched.by_name()

    assert list(before) == ["page", "family", "fragile"]
    assert (before["page"].restarts, before["page"].phase.is_well) == (0, True)
    assert (after["page"].restarts, after["page"].last_end) == (1, "terminated by SIGKILL")
    assert after["family"].pid == before["family"].pid
    assert "a page, 100 % # ; of it" in Path(after["page"].log).read_text(encoding="utf-8")


def test_pauses_between_starts_grow(watched: Tiny) -> None:
    wait_for(lambda: watched.by_name()["fragile"].restarts >= 2, "the third fragile")

    log = (watched.home / "logs" / "supervisor.log").read_text(encoding="utf-8")
    at = [line[:23] for line in log.splitlines() if "spawned: 'fragile'" in line]
    seconds = [int(one[17:19]) + 60 * int(one[14:16]) + int(one[20:23]) / 1000 for one in at]
    pauses = [(after - before) % 3600 for before, after in pairwise(seconds)]

    assert len(pauses) >= 2
    assert all(pause >= tries - 0.1 for tries, pause in enumerate(pauses, start=1))  # a busy machine only adds to it
    assert watched.by_name()["fragile"].last_end == "exit status 3"


def test_a_second_up_in_one_home_is_refused_by_name(watched: Tiny) -> None:
    second = start_tiny(watched.home, free_port())
    said = second.said()

    assert second.process.returncode == 1
    assert f"is up already (process {watched.process.pid}, UI on http://127.0.0.1:{watched.port})" in said
    assert watched.process.poll() is None
    assert watched.by_name()["family"].pid is not None


def test_after_a_kill_the_next_up_ends_what_was_left(tiny: Tiny) -> None:
    left = leftovers(tiny.home)
    tiny.process.kill()
    tiny.process.wait()
    wait_for(lambda: tiny.by_name()["page"].phase is ProcessPhase.GONE, "the page's end")
    assert not ended(left)  # the stubborn one
    assert read_up(tiny.home) is not None

    again = start_tiny(tiny.home, tiny.port)
    wait_for(again.is_ready, "ready again")
    again.process.terminate()
    said = again.said()

    assert again.process.returncode == 0
    assert "left from an `up` that was killed" in said
    assert ended(left)


def test_down_does_not_wait_for_an_up_that_ended_and_that_nobody_has_looked_at(tiny: Tiny) -> None:
    began = time.monotonic()

    done = CliRunner().invoke(app, ["--home", str(tiny.home), "down"])

    assert psutil.Process(tiny.process.pid).status() == psutil.STATUS_ZOMBIE  # its parent, this test, reaps it later
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "all stopped.")
    assert time.monotonic() - began < STOP_SECONDS / 2


def test_down_finds_an_up_whose_record_cannot_be_read(tiny: Tiny) -> None:
    children = leftovers(tiny.home)
    up_folder(tiny.home).joinpath("processes.json").write_text('{"pid": 1', encoding="utf-8")

    done = CliRunner().invoke(app, ["--home", str(tiny.home), "down"])

    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "all stopped.")
    assert f"stopping what process {tiny.process.pid} keeps up" in done.output
    assert tiny.process.wait(timeout=PATIENCE) == 0
    assert ended(children)


def test_down_does_not_say_stopped_of_an_up_that_has_not_ended(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_pipeline.cli.up.STOP_SECONDS", 1)
    tiny.process.send_signal(signal.SIGSTOP)

    done = CliRunner().invoke(app, ["--home", str(tiny.home), "down"])

    assert done.exit_code == 1
    assert f"process {tiny.process.pid} has not ended within 1 s" in done.output
    assert "all stopped" not in done.output
    tiny.process.send_signal(signal.SIGCONT)
    assert tiny.process.wait(timeout=PATIENCE) == 0


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = start_tiny(tmp_path / "home", port)
        said = refused.said()

        with pytest.raises(InputError, match=r"--port \d+$"):
            require_free(port, "--port")

    assert refused.process.returncode == 1
    assert re.search(rf"port {port} on 127.0.0.1 is in use by process {os.getpid()} .* Nothing was started", said)
    assert not up_folder(tmp_path / "home").exists()


def test_a_socket_stands_in_a_short_and_private_folder(tmp_path: Path) -> None:
    plain, long, odd = tmp_path / "up", tmp_path / ("x" * LONGEST_SOCKET_PATH), tmp_path / "100%20"

    assert short_socket(tmp_path, plain, "code.sock") == plain / "code.sock"
    for folder in (long, odd):
        path = short_socket(folder, folder, "code.sock")
        assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
        assert path.parent.stat().st_mode & 0o077 == 0
        assert path == short_socket(folder, folder, "code.sock")
        path.parent.chmod(0o755)
        with pytest.raises(InputError, match="not a folder of this user alone"):
            short_socket(folder, folder, "code.sock")
        path.parent.rmdir()
    assert short_socket(long, long, "a") != short_socket(odd, odd, "a")


def test_the_file_of_a_dead_socket_is_not_taken_for_a_server(tmp_path: Path) -> None:
    path = tmp_path / "code.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert is_listened_on(path)
    assert path.exists()
    assert not is_listened_on(path)


def test_a_damaged_record_is_told_with_what_to_do(tmp_path: Path) -> None:
    up_folder(tmp_path).mkdir()
    up_folder(tmp_path).joinpath("processes.json").write_text('{"pid": 1', encoding="utf-8")

    with pytest.raises(DataFileError, match="trading-pipeline down"):
        read_processes(tmp_path)
    assert read_processes(tmp_path / "elsewhere") == ()


def test_the_ui_and_the_health_page_need_ports_of_their_own(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "up", "--port", "3158", "--health-port", "3158"])

    assert done.exit_code == 1
    assert "--port and --health-port are both 3158" in done.output


def test_a_start_that_could_not_even_say_why_it_ended_is_not_told_in_no_words(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.write_text("error: port 3000 is in use\n")
    assert _said(log) == "error: port 3000 is in use"
    log.write_text("")
    assert "trading-pipeline doctor" in _said(log)
