"""data fetch and data stream, through the command line, the real client and the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app
from trading_pipeline.domain.market import Timeframe
from trading_pipeline_tests.adapters.market_data.doors import DataDoor, a_data_door
from trading_pipeline_tests.bar_builders import a_store, flat_bars
from trading_pipeline_tests.venue.builders import SESSION, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_day_bar, a_session

DAYS = [a_session(days).session for days in (-4, -1, 0)]
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def door() -> Iterator[DataDoor]:
    day = 24 * 60
    minutes = [flat(minute - shift * day, 50, symbol=symbol, volume=1000)
               for symbol in ("AAA", "BBB") for shift in (4, 1, 0) for minute in range(390)]  # fmt: skip
    daily = [a_day_bar(days, "50", symbol=symbol) for days in (-4, -1, 0) for symbol in ("AAA", "BBB")]
    tape = ListedTape(minutes, daily)
    with a_data_door(tape, now=SESSION.closes_at + timedelta(days=2)) as opened:
        yield opened


def run(door: DataDoor, home: Path, *words: str, key: str = "") -> Result:
    rules = door.rules()
    settings = {
        "KEY_ID": key or rules.key_id.get_secret_value(), "SECRET_KEY": rules.secret_key.get_secret_value(),
        "DATA_URL": rules.data_url, "DATA_STREAM_URL": rules.data_stream_url, "FEED": rules.feed,
        "DATA_REQUESTS_PER_MINUTE": "100000",
    }  # fmt: skip
    environ = {f"TRADING_PIPELINE__BROKER__ALPACA__{name}": value for name, value in settings.items()}
    return RUNNER.invoke(app, ["--home", str(home), "data", *words], env=environ)


def fetch(door: DataDoor, home: Path, *more: str, key: str = "") -> Result:
    span = ("--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat())
    return run(door, home, "fetch", "--provider", "alpaca", *span, *more, key=key)


def test_fetched_bars_are_in_the_store_with_their_feed_and_a_second_fetch_asks_nothing(
    door: DataDoor, tmp_path: Path
) -> None:
    first = fetch(door, tmp_path, "--symbols", "AAA,BBB,ZZZ", "--timeframe", "5min", "--json")
    second = fetch(door, tmp_path, "--symbols", "AAA,BBB,ZZZ", "--timeframe", "5min", "--json")

    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert (told["asked"], told["new"], told["without_bars"]) == (9, 3 * 2 * 78, ["ZZZ"])
    assert json.loads(second.stdout)["asked"] == 0
    rows = a_store(tmp_path / "bars").read(Timeframe.MIN5, DAYS)
    assert set(rows["feed"]) == {"sip"}


def test_daily_bars_are_fetched_for_a_person_to_read(door: DataDoor, tmp_path: Path) -> None:
    symbols = tmp_path / "symbols.txt"
    symbols.write_text("aaa\nbbb # the second\n")

    shown = fetch(door, tmp_path / "home", "--symbols", f"@{symbols}", "--daily")

    assert shown.exit_code == 0, shown.output
    assert "1d bars of alpaca (feed sip)" in shown.output
    assert "Next: trading-pipeline data check" in shown.output


def test_wrong_keys_end_in_one_line_that_says_what_to_do(door: DataDoor, tmp_path: Path) -> None:
    shown = fetch(door, tmp_path, "--symbols", "AAA", "--daily", key="WRONG")

    assert shown.exit_code == 1
    assert "Alpaca refuses the keys" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_what_cannot_be_asked_is_told(door: DataDoor, tmp_path: Path) -> None:
    contradiction = fetch(door, tmp_path, "--symbols", "AAA", "--daily", "--timeframe", "5min")
    backwards = run(door, tmp_path, "fetch", "--provider", "alpaca", "--symbols", "AAA", "--from", "2025-06-12",
                    "--to", "2025-06-10")  # fmt: skip
    no_file = fetch(door, tmp_path, "--symbols", "@nowhere.txt")

    assert "contradict" in contradiction.stderr
    assert "give --from before --to" in backwards.stderr
    assert "cannot be read" in no_file.stderr
    assert {contradiction.exit_code, backwards.exit_code, no_file.exit_code} == {1}


def test_the_check_says_which_feed_bars_are_of_and_what_a_partial_one_is_worth(tmp_path: Path) -> None:
    store = a_store(tmp_path / "bars")
    store.write(flat_bars("AAA", *DAYS, timeframe=Timeframe.MIN5), Timeframe.MIN5, known_at=None, feed="iex")

    shown = RUNNER.invoke(app, ["--home", str(tmp_path), "data", "check"])
    told = RUNNER.invoke(app, ["--home", str(tmp_path), "data", "check", "--json"])

    assert "Volume of iex is not the market's" in shown.output
    assert json.loads(told.stdout)["feeds"] == {"iex": 3 * 78}
