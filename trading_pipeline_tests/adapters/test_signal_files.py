"""Signals from files and tables: what they may look like, and how a broken one is told."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from trading_pipeline.adapters.signal_files import file_signals, table_signals
from trading_pipeline.domain.errors import DataFileError, MissingResultError
from trading_pipeline.domain.targets import SignalsError
from trading_pipeline_tests.builders import AT, SESSION


def written(folder: Path, content: str, name: str = "signals.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("signals.csv", "symbol,strength\nAAPL,0.8\nMSFT,-0.6\n"),
        ("signals.csv", "\ufeffstrength,symbol,note\r\n0.8,AAPL,x\r\n-0.6, MSFT ,y\r\n"),
        ("signals.json", '{"AAPL": 0.8, "MSFT": -0.6}'),
        ("signals.json", '[{"symbol": "AAPL", "strength": 0.8}, {"symbol": "MSFT", "strength": "-0.6"}]'),
    ],
)
def test_every_form_of_a_file_says_the_same(tmp_path: Path, name: str, content: str) -> None:
    found = file_signals(written(tmp_path, content, name), max_rows=10).signals(SESSION, AT)

    assert found.strengths == {"AAPL": 0.8, "MSFT": -0.6}
    assert (found.source, found.as_of) == ("signal_file", AT)


def test_a_history_serves_the_newest_set_known_at_an_instant(tmp_path: Path) -> None:
    rows = [f"{(AT + timedelta(minutes=m)).isoformat()},XYZ,{s}" for m, s in ((0, 0.2), (10, 0.4), (20, 0.6))]
    provider = file_signals(written(tmp_path, "\n".join(["as_of,symbol,strength", *rows])), max_rows=10)

    found = provider.signals(SESSION, AT + timedelta(minutes=19))

    assert (found.strengths, found.as_of) == ({"XYZ": 0.4}, AT + timedelta(minutes=10))
    with pytest.raises(MissingResultError, match="no signals as of"):
        provider.signals(SESSION, AT - timedelta(minutes=1))


def test_without_a_time_a_set_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    provider = file_signals(written(tmp_path, "symbol,strength\nXYZ,0.5"), max_rows=10)

    assert provider.signals(SESSION, AT).input_hash == provider.signals(SESSION, AT + timedelta(hours=1)).input_hash


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("s.csv", "symbol,strength\nXYZ,NaN\n", SignalsError, "XYZ"),
        ("s.json", '{"XYZ": NaN}', SignalsError, "XYZ: nan"),
        ("s.json", '{"XYZ": 0.5, "XYZ": 0.5}', SignalsError, "XYZ 2 times"),
        ("s.csv", "symbol,strength\nXYZ,0.5\nXYZ,0.4\n", SignalsError, "XYZ 2 times"),
        ("s.csv", "ticker,strength\nXYZ,0.5\n", DataFileError, "row 1 lacks symbol or strength"),
        ("s.csv", "symbol,strength\nXYZ\n", DataFileError, "row 1 lacks"),
        ("s.json", "3", DataFileError, "neither an object nor a list"),
        ("s.json", "{", DataFileError, "cannot be read"),
        ("s.csv", "as_of,symbol,strength\nyesterday,XYZ,0.5\n", DataFileError, "'yesterday' is no instant"),
        ("s.csv", "as_of,symbol,strength\n2025-06-10 14:30,XYZ,0.5\n", DataFileError, "row 1: as_of .* no time zone"),
        ("s.csv", "symbol,strength\nABC,1\nXYZ,0,5\n", DataFileError, "1 of 2 rows have more cells .* row 2"),
        ("s.csv", "symbol,strength,strength\nXYZ,1,-1\n", DataFileError, "a column is given twice"),
        ("s.csv", "as_of,symbol,strength\n2025-06-10T14:30Z,XYZ,0.5\n,ABC,0.5\n", SignalsError, "give it to all"),
        ("s.csv", "", DataFileError, r"s\.csv holds no signals"),
        ("s.csv", "symbol,strength\n", DataFileError, r"s\.csv holds no signals"),
        ("s.json", "{}", DataFileError, r"s\.json holds no signals"),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(
    tmp_path: Path, name: str, content: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        file_signals(written(tmp_path, content, name), max_rows=10).signals(SESSION, AT)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"none\.csv: No such file"):
        file_signals(tmp_path / "none.csv", max_rows=10).signals(SESSION, AT)


def a_table(folder: Path, *rows: tuple[str, str, float]) -> str:
    url = f"sqlite:///{folder}/signals.sqlite3"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table external_signals (as_of text, symbol text, strength real)"))
        for row in rows:
            values = dict(zip(("as_of", "symbol", "strength"), row, strict=True))
            connection.execute(text("insert into external_signals values (:as_of, :symbol, :strength)"), values)
    engine.dispose()
    return url


def test_a_table_is_read_and_never_written(tmp_path: Path) -> None:
    url = a_table(tmp_path, (AT.isoformat(), "AAPL", 0.8), (AT.isoformat(), "MSFT", -0.6))
    before = (tmp_path / "signals.sqlite3").read_bytes()

    found = table_signals(url, "external_signals", max_rows=10).signals(SESSION, AT)

    assert (found.source, dict(found.strengths)) == ("signal_table", {"AAPL": 0.8, "MSFT": -0.6})
    assert (tmp_path / "signals.sqlite3").read_bytes() == before


@pytest.mark.parametrize(
    ("url", "table", "words"),
    [
        ("sqlite:///{folder}/none.sqlite3", "external_signals", "there is no SQLite file"),
        ("sqlite:///{folder}/signals.sqlite3", "elsewhere", "no such table"),
        ("nonsense", "external_signals", "ArgumentError"),
        ("postgresql+psycopg2://u:secret@127.0.0.1:1/db", "external_signals", "cannot be read"),
        ("mysql+none://u:secret@127.0.0.1:1/db", "external_signals", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_without_its_password(
    tmp_path: Path, url: str, table: str, words: str
) -> None:
    a_table(tmp_path)

    with pytest.raises(DataFileError, match=words) as told:
        table_signals(url.format(folder=tmp_path), table, max_rows=10).signals(SESSION, AT)

    assert "secret" not in str(told.value)
    assert not (tmp_path / "none.sqlite3").exists()


def test_ten_thousand_rows_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({f"S{n}": 0.5 for n in range(10_000)}), "many.json")

    assert len(file_signals(path, max_rows=10_000).signals(SESSION, AT).strengths) == 10_000
    with pytest.raises(SignalsError, match="10000 rows"):
        file_signals(path, max_rows=9_999).signals(SESSION, AT)
