"""logs: the last lines, and what is added, through turn-overs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.adapters.log_tail import Follower, last_lines
from trading_pipeline.cli.app import app


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def a_home(folder: Path) -> Path:
    (folder / "logs").mkdir()
    for name, text in {"daemon.log": "d1\nd2\nd3\n", "trading-pipeline.jsonl": "{}\n", "daemon.log.1": "old\n"}.items():
        (folder / "logs" / name).write_text(text, encoding="utf-8")
    return folder


def shown(home: Path, *arguments: str) -> str:
    return CliRunner().invoke(app, ["--home", str(home), "logs", *arguments]).output


def test_the_last_lines_of_one_log_and_of_all(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    assert shown(home, "daemon", "-n", "2") == "d2\nd3\n"
    assert shown(home, "-n", "1").splitlines() == ["daemon            d3", "trading-pipeline  {}"]


def test_an_unknown_name_and_a_home_without_logs_say_what_there_is(tmp_path: Path) -> None:
    assert "there are: daemon, trading-pipeline" in shown(a_home(tmp_path), "deamon")
    assert "trading-pipeline up" in shown(tmp_path / "elsewhere")


def test_no_line_is_lost_or_told_twice_when_the_file_is_turned_over_or_cut(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    follower = Follower(path)
    assert follower.new_lines() == []
    add(path, "one\ntw")
    assert follower.new_lines() == ["one"]
    add(path, "o\nthree\n")
    path.rename(tmp_path / "daemon.log.1")
    add(path, "four\n")
    assert follower.new_lines() == ["two", "three", "four"]
    path.write_text("x\n", encoding="utf-8")
    assert follower.new_lines() == ["x"]
    path.unlink()
    assert follower.new_lines() == []
    add(path, "five\n")
    assert follower.new_lines() == ["five"]
    follower.close()


def test_a_log_begun_before_is_followed_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    add(path, "before\n")
    follower = Follower(path)
    add(path, "after\n")

    assert follower.new_lines() == ["after"]
    assert last_lines(path, 1) == ["after"]
    assert last_lines(path, 0) == []
    follower.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_shows_what_is_added_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    home = a_home(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "trading_pipeline.cli", "--home", str(home), "logs", "-f", "-n", "1", "daemon"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 one thread here
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "d3\n"
    time.sleep(0.2)
    add(home / "logs" / "daemon.log", "d4\n")
    assert process.stdout.readline() == "d4\n"

    process.send_signal(number)
    _, said = process.communicate(timeout=30)

    assert (process.returncode, said) == ((0, "") if number is signal.SIGINT else (-number, ""))
