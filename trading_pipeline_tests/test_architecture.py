"""Rules of the house that can be read off the source: layers, clocks, sizes, what may never be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "trading_pipeline", ROOT / "trading_pipeline_tests"
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
WALL_CLOCK = re.compile(r"\b(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns|localtime)|Timestamp\.now)\(")
SQL = re.compile(r"\b(SELECT\b.*\bFROM|INSERT INTO|UPDATE\b.*\bSET|DELETE FROM|CREATE TABLE|PRAGMA)\b")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
DATA_FILES = {".parquet", ".csv", ".sqlite3", ".db", ".feather", ".pkl", ".pickle"}


def sources(*folders: Path) -> list[Path]:
    """Python files of the folders; migrations, which are written once, excepted."""
    return [path for folder in folders for path in sorted(folder.rglob("*.py")) if "versions" not in path.parts]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """Places where the pattern occurs in code or strings, as path:line."""
    return [
        f"{name(path)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git working tree: nothing says which files are committed")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_clock_asks_what_time_it_is() -> None:
    assert {place.split(":")[0] for place in found(WALL_CLOCK, sources(PACKAGE))} <= {
        "trading_pipeline/adapters/clock.py"
    }


def test_only_the_command_line_prints() -> None:
    others = [path for path in sources(PACKAGE) if "cli" not in path.parts]

    assert found(re.compile(r"(?<![\w.])print\("), others) == []


def test_sql_is_written_in_adapters_alone() -> None:
    others = [path for path in sources(PACKAGE) if "adapters" not in path.parts]

    places = [place.split(":")[0] for place in found(SQL, others)]

    assert set(places) <= {"trading_pipeline/venue/storage.py"}
    assert len(places) <= 2  # the venue's two PRAGMAs


def test_no_failure_is_swallowed() -> None:
    silent = []
    for path in sources(PACKAGE):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            )
            if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                silent.append(f"{name(path)}:{getattr(node, 'lineno', 0)}")

    assert silent == []


def test_nothing_is_left_for_later() -> None:
    assert found(UNFINISHED, [path for path in sources(PACKAGE, TESTS) if path != Path(__file__)]) == []


def test_files_and_functions_stay_short() -> None:
    long_files = [
        name(path)
        for path in sources(PACKAGE, TESTS)
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES
    ]
    long_functions = [
        f"{name(path)}:{function.name}"
        for path in sources(PACKAGE, TESTS)
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert (long_files, long_functions) == ([], [])


def test_tests_use_no_mock_library() -> None:
    mocks = re.compile(r"(unittest\.mock|from mock\b|import mock\b|MagicMock|\bmocker\b)")

    assert found(mocks, [path for path in sources(TESTS) if path != Path(__file__)]) == []


def test_no_data_is_committed() -> None:
    assert [name(path) for path in committed() if path.suffix in DATA_FILES] == []


def test_lock_files_carry_versions_and_hashes_but_no_addresses() -> None:
    locks = [path for path in committed() if path.name.endswith(".lock")]

    expected = {"requirements.lock", "requirements-dev.lock", "requirements-ib-async.lock"}
    assert {path.name for path in locks} == expected
    assert [name(path) for path in locks if "://" in path.read_text(encoding="utf-8")] == []


def test_no_path_of_a_developers_machine_is_committed() -> None:
    machine = re.compile(r"(/home/[a-z]+/|/Users/[A-Za-z]+/|[A-Z]:\\Users\\)")
    text = [path for path in committed() if path.suffix not in {".png", ".svg", ".ico"} and path != Path(__file__)]

    assert found(machine, text) == []
