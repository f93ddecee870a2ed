"""The installed command as a process: quick to help, quiet in a closed pipe, and safe to stop or kill anywhere."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from trading_pipeline_tests.ledger_counts import rows_of_home
from trading_pipeline_tests.traded_home import LOOSE, TradedHome

COMMAND = str(Path(sys.executable).with_name("trading-pipeline"))
HEAVY = ("dagster", "pandas", "sqlalchemy", "pyarrow")


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 one thread here
    )  # fmt: skip


def finish(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=400)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom trading_pipeline.cli.app import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "") or done.stderr.strip() == ""


def test_a_closed_pipe_is_no_reason_to_cry(traded_home: TradedHome) -> None:
    line = f"{COMMAND} --home {traded_home.home} decisions --log --session {traded_home.traded[0]} | head -1"

    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)

    assert done.stdout.startswith("{")
    assert done.stderr == ""


def test_a_full_disk_is_told_and_the_next_import_completes(tmp_path: Path) -> None:
    rows = "\n".join(
        f"S{number:03},2025-06-10 {9 + (30 + 5 * bar) // 60:02}:{(30 + 5 * bar) % 60:02},10,11,9,10.{number:03},1{bar}"
        for number in range(40)
        for bar in range(70)
    )
    file = tmp_path / "bars.csv"
    file.write_text(f"symbol,start,open,high,low,close,volume\n{rows}\n", encoding="utf-8")
    arguments = ("data", "import", file, "--timeframe", "5min", "--json", "--home", tmp_path / "home")

    limited = subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )  # fmt: skip
    done = finish(*arguments)

    assert limited.returncode == 1
    assert limited.stderr.startswith("error: ")
    assert "Traceback" not in limited.stderr
    (report,) = json.loads(done.stdout).values()
    assert report["good"] == report["new"] + report["unchanged"] == 2_800


def stopped(number: signal.Signals, home: Path, arguments: tuple[object, ...], when: Callable[[], bool]) -> int:
    """Start the command, send the signal as soon as `when` holds, and return how it ended."""
    process, patience = start(*arguments, "--home", home), time.monotonic() + 240
    while not when() and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said, said
    if number is signal.SIGINT:
        assert "run the same command again" in said
    return process.returncode


def a_demo(folder: Path, sessions: int) -> tuple[object, ...]:
    """The arguments of a small demo."""
    profile = folder / "loose.yaml"
    profile.write_text(yaml.safe_dump(LOOSE), encoding="utf-8")
    return "demo", "--sessions", sessions, "--symbols", 8, "--profile", profile


def hashes_in(*texts: str) -> set[str]:
    return {line for text in texts for line in text.splitlines() if line.startswith("decision log of all")}


@pytest.mark.slow
def test_a_demo_stopped_in_its_research_is_completed_by_the_next(tmp_path: Path) -> None:
    demo, home = a_demo(tmp_path, 1), tmp_path / "home"

    assert stopped(signal.SIGINT, home, demo, lambda: any(home.glob("research/**/*.parquet"))) == 130
    completed = finish(*demo, "--home", home)

    assert completed.returncode == 0, completed.stderr
    assert len(hashes_in(completed.stdout)) == 1
    assert rows_of_home(home)["fills"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("sessions", [1, 2])
def test_a_demo_stopped_and_killed_on_the_way_ends_as_one_that_was_not(tmp_path: Path, sessions: int) -> None:
    demo, home, calm = a_demo(tmp_path, sessions), tmp_path / "stopped", tmp_path / "calm"
    undisturbed = start(*demo, "--home", calm)

    if sessions > 1:
        assert stopped(signal.SIGINT, home, demo, lambda: len(list(home.glob("bars/**/*.parquet"))) > 20) == 130
    assert stopped(signal.SIGINT, home, demo, lambda: any(home.glob("research/**/*.parquet"))) == 130
    assert stopped(signal.SIGKILL, home, demo, (home / "venue.sqlite3").exists) == -signal.SIGKILL
    completed = finish(*demo, "--home", home)
    again = finish(*demo, "--home", home) if sessions > 1 else completed
    expected, said = undisturbed.communicate()

    assert (undisturbed.returncode, completed.returncode, again.returncode) == (0, 0, 0), said + completed.stderr
    assert len(hashes_in(expected, completed.stdout, again.stdout)) == 1
    assert rows_of_home(home) == rows_of_home(calm)
    assert rows_of_home(calm)["fills"] > 0


@pytest.mark.slow
def test_a_replay_stopped_on_the_way_is_completed_by_the_next(
    traded_home: TradedHome, replayed_home: TradedHome, tmp_path: Path
) -> None:
    made = traded_home.copied_to(tmp_path)
    replay = ("session", "replay", "--session", made.running, "--json", "--profile", made.profile)
    wal = made.home / "ledger.sqlite3-wal"
    before = wal.stat().st_mtime_ns if wal.exists() else 0  # its size stays when SQLite starts it over

    def begun() -> bool:
        return wal.exists() and wal.stat().st_mtime_ns > before

    ended = stopped(signal.SIGINT, made.home, replay, begun)
    (completed,) = json.loads(finish(*replay, "--home", made.home).stdout)

    assert ended == 130
    with replayed_home.open().ledger.read() as tx:
        calm = tx.session_record("SIM", made.running)
    assert calm is not None
    assert completed["decision_hash"] == calm.decision_hash
    assert rows_of_home(made.home) == rows_of_home(replayed_home.home)
