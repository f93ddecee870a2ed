"""docs/faults.md names tests that exist: each command selects something, each sweep is played by `make soak`."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.crash.days import DAYS
from trading_pipeline_tests.crash.doors import DoorKind
from trading_pipeline_tests.crash.faults import cases
from trading_pipeline_tests.docs import DOCS

ROOT = DOCS.parent
TESTS = "trading_pipeline_tests"
HEAD = ("fault", "what happens", "where it runs", "quick", "whole")
SPAN = re.compile(r"`([^`]+)`")
LIVES = 36
"""Faults with a row of their own."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault and its commands, as words."""

    fault: str
    says: str
    where: str
    quick: str
    whole: str

    def commands(self, cell: str) -> list[list[str]]:
        """The commands of a cell."""
        return [shlex.split(span.replace("$T", TESTS)) for span in SPAN.findall(cell)]


def _rows() -> Iterator[Row]:
    for line in (DOCS / "faults.md").read_text(encoding="utf-8").splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("|") and cells != HEAD and set(cells[0]) != {"-"}:
            yield Row(*cells)


ROWS = list(_rows())


@cache
def names_in(file: Path) -> tuple[tuple[str, bool], ...]:
    """Tests of a file, and those it inherits from a contract: (name, whether only `make soak` runs it)."""
    text = file.read_text(encoding="utf-8")
    inherited = [path for path in (ROOT / TESTS / "contract_tests").glob("*.py") if "Contract" in text]
    return tuple(
        (node.name, any("mark.soak" in ast.unparse(mark) and "param" not in ast.unparse(mark) for mark in marks))
        for path in (file, *inherited)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for marks in [node.decorator_list]
    )


def selected(command: list[str], *, soak: bool = False) -> dict[str, int]:
    """How many tests of each named file a pytest command selects."""
    files = [ROOT / word for word in command[1:] if word.endswith(".py")]
    words = command[command.index("-k") + 1].split(" or ") if "-k" in command else [""]
    return {
        file.name: sum(
            any(word in f"{file.name}::{name}" for word in words) and (soak or not only_soak)
            for name, only_soak in names_in(file)
        )
        for file in files
    }


def test_every_fault_has_one_row_with_every_cell() -> None:
    assert len({row.fault for row in ROWS}) == len(ROWS) >= LIVES
    for row in ROWS:
        assert all((row.fault, row.says.endswith("."), row.where, row.commands(row.quick))), row
        assert row.whole == "as quick" or row.commands(row.whole), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_the_quick_command_selects_tests_of_the_default_run_in_each_file_it_names(row: Row) -> None:
    for command in row.commands(row.quick):
        assert command[0] == "pytest"
        assert "-m" not in command
        found = selected(command)
        assert found
        assert 0 not in found.values(), f"nothing is selected: {found}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.whole != "as quick"], ids=lambda row: row.fault)
def test_the_whole_command_is_played_by_the_soak(row: Row) -> None:
    (recipe,) = re.findall(
        r"^soak:.*?(?=\n\n)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for command in row.commands(row.whole):
        if command[0] == "pytest":
            assert command[1:3] == ["-m", "soak"]
            (file,) = (ROOT / word for word in command[3:])
            assert "soak" in file.read_text(encoding="utf-8")
            continue
        assert command[:2] == ["python", "-m"]
        module, options = command[2], dict(zip(command[3::2], command[4::2], strict=True))
        assert importlib.util.find_spec(module) is not None
        assert re.search(rf"\b{re.escape(module.removeprefix(f'{TESTS}.'))}\b", recipe), f"make soak lacks {module}"
        assert set(options.get("--days", "entry").split(",")) <= set(DAYS)
        assert set(options.get("--faults", "reset").split(",")) <= set(Fault)
        ops = options["--ops"].split(",") if "--ops" in options else ()
        for fault in options["--faults"].split(",") if "--faults" in options else ():
            assert cases(DoorKind(options["--door"]), ops, [fault]), f"{fault} is never played"
