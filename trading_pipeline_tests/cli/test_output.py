"""What people read on terminals of every width."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from trading_pipeline.cli import logs, output

WORDS = "shares are held after the close under no live stop, and nobody has placed one since"


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    columns: int = request.param
    for module in (output, logs):
        monkeypatch.setattr(
            module, "console", Console(highlight=False, width=columns, force_terminal=True, color_system=None)
        )
    return columns


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_words_fold_wherever_they_stand_and_names_and_dates_never_do(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_table(("at", "says", "limit"), [("2025-06-10 14:30:00", WORDS, "late above 60 seconds in all")] * 2)

    shown = lines(capsys)
    assert max(map(len, shown)) <= width
    assert sum("2025-06-10 14:30:00" in line for line in shown) == 2
    assert " ".join(" ".join(shown).split()).count("shares are held") == 2


def test_a_table_that_is_too_wide_is_shown_row_by_row_with_nothing_lost(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [f"{name}-{'x' * 20}" for name in "abcdef"]
    output.print_table(("session", *"ABCDEF"), [("2025-06-10", *cells), ("2025-06-10", *reversed(cells))])

    shown = lines(capsys)
    assert max(map(len, shown)) <= width
    assert [line for line in shown if line.startswith(" 2025")] == [
        f" 2025-06-10  a-{'x' * 20}", f" 2025-06-10  f-{'x' * 20}"
    ]  # fmt: skip
    assert all(cell in "".join(shown) for cell in cells)


def test_a_json_line_of_a_log_is_words_on_a_terminal_and_any_other_line_is_left(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"at": "2025-06-10T14:30:00.123+00:00", "level": "error", "event": "it broke", "pid": 1, "session": "S",
            "exception": "Traceback\nError"}  # fmt: skip
    odd = ["no json", '"text"', '{"at": "half"']
    logs._show("up", [json.dumps(told), *odd], 0)

    assert lines(capsys) == ["2025-06-10 14:30:00 error    it broke  session=S", "Traceback", "Error", *odd]
