"""Text from outside (a symbol, a reason, a venue's words) is shown as it is, and steers neither terminal nor page."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from trading_pipeline.adapters.logs.plain import plain, plain_json
from trading_pipeline.adapters.logs.setup import log_file, start_logs, stop_logs
from trading_pipeline.cli import output
from trading_pipeline.cli.app import app
from trading_pipeline.domain.log_rules import LogRules

FORGED = "2026-01-01 ACTIVE all is well"
HOSTILE = (
    f"'; DROP TABLE fills; --\n{FORGED}\r\x1b[2J\x1b]0;owned\x07\x9b31m [bold red]x[/bold red] [/] \u202egpj.exe"
    "\u2028 {0} %s <script>alert(1)</script>"
)
WORDS = "[bold red]x[/bold red] [/]"


def steering(text: str) -> set[str]:
    """Characters that would do something on a terminal, line breaks and padding aside."""
    return {one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and one != "\n"}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to a terminal beside tables, weights and all."""
    file = io.StringIO()
    for name in ("console", "errors"):
        terminal = Console(file=file, force_terminal=True, color_system=None, highlight=False, width=400)
        monkeypatch.setattr(output, name, terminal)
    return file


def test_a_line_a_heading_and_a_complaint_show_it_and_do_nothing(shown: io.StringIO) -> None:
    output.say(HOSTILE)
    output.heading(HOSTILE)
    output.complain(HOSTILE)

    assert shown.getvalue().count(WORDS) == 3
    assert steering(re.sub(r"\x1b\[[01]m|\x1b\[1;31m", "", shown.getvalue())) == set()


def test_a_cell_of_a_table_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("symbol", "reason"), [("XYZ", HOSTILE)])

    written = capsys.readouterr().out
    assert steering(written) == set()
    assert WORDS in written
    assert not [line for line in written.splitlines() if line.strip().startswith(FORGED)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
def test_whatever_a_text_holds_nothing_of_it_steers_and_json_reads_back_the_same(text: str) -> None:
    assert steering(plain(text)) == set()
    assert "\n" not in plain(text)

    written = plain_json(json.dumps({"reason": text}, ensure_ascii=False, indent=2))
    assert steering(written) == set()
    assert json.loads(written) == {"reason": text}


def test_what_can_be_shown_is_shown_as_it_is() -> None:
    text = "Zürich – 10 % − ß€ 東京\u00a0\U0001f680 [red] C:\\temp"

    assert plain(text) == text
    assert plain_json(text) == text


def run(home: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return str(done.output)


def test_a_hostile_name_and_reason_are_on_record_word_for_word_and_steer_no_verb_that_shows_them(
    tmp_path: Path,
) -> None:
    said = run(tmp_path, "pause", "--reason", HOSTILE, "--operator", HOSTILE)
    told = [said, *(run(tmp_path, *verb) for verb in (("status",), ("breaker", "show"), ("breaker", "history")))]
    machine = run(tmp_path, "breaker", "show", "--json")

    for page in (*told, machine):
        assert steering(page) == set(), page
    assert not [line for line in said.splitlines() if line.strip().startswith(FORGED)]
    assert WORDS in "".join(told)
    (cause,) = json.loads(machine)["causes"]
    assert (cause["name"], cause["words"]) == (HOSTILE, HOSTILE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    start_logs(tmp_path, LogRules(console_level="error"), process="a test")
    yield tmp_path
    stop_logs()


def test_a_log_line_stays_one_line_in_the_file_and_on_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("trading_pipeline.test").error("the venue said %s", HOSTILE, extra={"symbol": HOSTILE})

    (line,) = log_file(home).read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert json.loads(line)["symbol"] == HOSTILE
    on_terminal = capsys.readouterr().err
    assert WORDS in on_terminal
    assert steering(on_terminal) == set()
    assert len(on_terminal.splitlines()) == 1
