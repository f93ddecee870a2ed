"""Log lines: one chain for ours, servers and libraries; whole lines from many processes; never a reason to stop."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.adapters.logs.files import FileLog, SharedFile
from trading_pipeline.adapters.logs.reading import errors_since
from trading_pipeline.adapters.logs.redaction import Redactor
from trading_pipeline.adapters.logs.setup import keep_logs, log_file, start_logs, stop_logs
from trading_pipeline.domain.correlation import correlation, working_on
from trading_pipeline.domain.log_rules import LogRules

CANARY = "canary-7f3b9c-secret"
log = logging.getLogger("trading_pipeline.tests")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home into which this process logs."""
    levels = [(name, logging.getLogger(name).level) for name in ("", "trading_pipeline")]
    hooks = sys.excepthook, threading.excepthook
    redactor = Redactor()
    redactor.learn(CANARY)
    start_logs(tmp_path, LogRules(console_level="error"), process="a test", redactor=redactor)
    yield tmp_path
    stop_logs()
    sys.excepthook, threading.excepthook = hooks
    for name, level in levels:
        logging.getLogger(name).setLevel(level)


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file(home).read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_how_bad_what_who_and_for_which_work(home: Path) -> None:
    with working_on(session="2025-06-10", run="r1"), working_on(order="tp-1", intent="i1", symbol=None):
        log.info("sent %d of %s", 5, "XYZ", extra={"price": "50.00"})

    (line,) = lines(home)
    assert datetime.fromisoformat(line.pop("at")) <= datetime.now(UTC)
    assert line.pop("pid") > 0
    assert line == {
        "level": "info", "event": "sent 5 of XYZ", "process": "a test", "logger": "trading_pipeline.tests",
        "session": "2025-06-10", "run": "r1", "order": "tp-1", "intent": "i1", "price": "50.00",
    }  # fmt: skip


def test_ids_end_with_their_block_and_belong_to_their_thread() -> None:
    seen: list[object] = []
    with working_on(session="s"):
        other = threading.Thread(target=lambda: seen.append(dict(correlation())))
        other.start()
        other.join()
        with working_on(order="o"):
            seen.append(dict(correlation()))
        seen.append(dict(correlation()))

    assert [*seen, dict(correlation())] == [{}, {"session": "s", "order": "o"}, {"session": "s"}, {}]


def test_libraries_and_servers_go_through_the_same_chain(home: Path) -> None:
    logging.getLogger("uvicorn.error").warning("port %d", 80)
    logging.getLogger("alpaca.trading").info("too quiet to be told")
    logging.getLogger("urllib3").error("retrying with %s", CANARY)

    assert [(line["logger"], line["event"]) for line in lines(home)] == [
        ("uvicorn.error", "port 80"), ("urllib3", "retrying with [redacted]"),
    ]  # fmt: skip


def test_secrets_are_gone_from_message_extras_and_traceback_and_on_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        int(f"no access with {CANARY}")
    except ValueError:
        log.exception("asked %s", CANARY, extra={"url": f"https://h/?k={CANARY}"})

    written, shown = log_file(home).read_text(encoding="utf-8"), capsys.readouterr().err
    assert CANARY not in written + shown
    assert "no access with [redacted]" in lines(home)[0]["exception"]
    assert "no access with [redacted]" in shown


def test_the_canary_is_seen_when_nothing_is_redacted(home: Path) -> None:
    """What the tests above rest on: without the redactor the canary is there."""
    start_logs(home, LogRules(console_level="error"), process="a test", redactor=Redactor())
    log.warning("asked %s", CANARY)

    assert CANARY in log_file(home).read_text(encoding="utf-8")


def test_no_line_steers_a_terminal_or_passes_for_another(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged = "XYZ\n2025-06-10 [info] all is well\x1b[2J\u202e"
    try:
        int(forged)
    except ValueError:
        log.exception("asked for %s", forged, extra={"symbol": forged})

    shown, written = capsys.readouterr().err, log_file(home).read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e"} & {*shown, *written}
    assert "\n2025-06-10 [info]" not in shown
    assert lines(home)[0]["event"] == f"asked for {forged}"


def test_a_thread_that_dies_is_told(home: Path) -> None:
    thread = threading.Thread(target=lambda: int("x"), name="feeder")
    thread.start()
    thread.join()

    assert [(line["level"], line["event"]) for line in lines(home)] == [("critical", "thread feeder ended by an error")]


def test_a_ctrl_c_that_hits_a_library_is_no_error_on_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = logging.getLogger("sqlalchemy.pool.impl.NullPool")

    pool.error("Exception closing connection", exc_info=KeyboardInterrupt())
    pool.error("Exception closing connection", exc_info=OSError("the disk is gone"))

    assert "KeyboardInterrupt" not in (said := capsys.readouterr().err)
    assert "the disk is gone" in said
    assert len(lines(home)) == 2


def test_a_wrong_log_call_or_a_full_disk_stops_nobody(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = log.makeRecord(log.name, logging.INFO, "x.py", 1, "needs %s and %s", (CANARY,), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, FileLog):  # pytest's own would raise
            handler.handle(wrong)
    log_file(home).unlink(missing_ok=True)
    log_file(home).mkdir(parents=True)  # no line can be written any more
    log.info("lost")
    log.info("lost too")

    said = capsys.readouterr().err
    assert said.count("log lines cannot be written") == 1
    assert CANARY not in said


def test_opening_again_keeps_the_handlers_of_the_same_home(home: Path) -> None:
    before = list(logging.getLogger().handlers)

    keep_logs(home, LogRules(), process="again")

    assert list(logging.getLogger().handlers) == before


def test_nothing_is_written_before_the_first_line(tmp_path: Path) -> None:
    SharedFile(tmp_path / "logs" / "x.jsonl", 1000, 2)

    assert list(tmp_path.iterdir()) == []


def test_lines_of_many_processes_stay_whole_through_every_turning_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    program = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from trading_pipeline.adapters.logs.files import SharedFile\n"
        "file = SharedFile(Path(sys.argv[1]), 20_000, 90)\n"
        "for number in range(400):\n"
        "    file.write(json.dumps({'who': sys.argv[2], 'number': number, 'x': 'y' * (number % 200)}) + '\\n')\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(who)]) for who in range(3)]

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [one for one in tmp_path.iterdir() if one.name.startswith("x.jsonl")]
    said = [json.loads(line) for one in files for line in one.read_text().splitlines()]
    assert sorted((one["who"], one["number"]) for one in said) == sorted(
        (str(who), number) for who in range(3) for number in range(400)
    )
    assert len(files) > 3
    assert all(one.stat().st_size < 20_000 + 3 * 300 for one in files)  # a line of each writer may come late


def test_the_oldest_file_goes(tmp_path: Path) -> None:
    file = SharedFile(tmp_path / "x.jsonl", 100, 3)
    for number in range(20):
        file.write(f"{number:049}\n")

    assert sorted(one.name for one in tmp_path.glob("x.jsonl*")) == ["x.jsonl", "x.jsonl.1", "x.jsonl.2"]


def test_errors_of_the_last_hour_are_counted_from_the_file_alone(tmp_path: Path) -> None:
    path, now = tmp_path / "x.jsonl", datetime(2025, 6, 10, 15, tzinfo=UTC)
    told = [("error", 10), ("critical", 59), ("error", 61), ("warning", 1), ("info", 2)]
    rows = [{"at": (now - timedelta(minutes=ago)).isoformat(), "level": how} for how, ago in told]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + '{"at": "2025-06', encoding="utf-8")

    assert errors_since(path, now - timedelta(hours=1)) == 2
    assert errors_since(tmp_path / "none", now) == 0
    assert errors_since(tmp_path, now) is None
