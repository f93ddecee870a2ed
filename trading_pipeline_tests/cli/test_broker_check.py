"""config check --broker: a newcomer's first word with the broker, before any order."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app
from trading_pipeline.domain.orders import OrderType, Side
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world
from trading_pipeline_tests.venue.builders import an_order

RUNNER = CliRunner()


def check(world: AlpacaWorld, home: Path, *words: str, secret: str = "", cash: str = "100000") -> Result:
    rules = world.rules
    settings = {
        "BROKER__NAME": "alpaca", "EXECUTION__INITIAL_CASH_USD": cash,
        "BROKER__ALPACA__KEY_ID": rules.key_id.get_secret_value(),
        "BROKER__ALPACA__SECRET_KEY": secret or rules.secret_key.get_secret_value(),
        "BROKER__ALPACA__TRADING_URL": rules.trading_url,
        "BROKER__ALPACA__TRADING_STREAM_URL": rules.trading_stream_url,
    }  # fmt: skip
    environ = {f"TRADING_PIPELINE__{name}": value for name, value in settings.items()}
    return RUNNER.invoke(app, ["--home", str(home), "config", "check", "--broker", *words], env=environ)


def test_a_fresh_account_with_the_configured_cash_is_ready(tmp_path: Path) -> None:
    with an_alpaca_world() as world:
        told = check(world, tmp_path)

        assert told.exit_code == 0, told.output
        assert "Ready for a session." in told.stdout
        assert world.venue.open_orders() == ()


def test_what_would_block_a_first_session_is_said_before_it(tmp_path: Path) -> None:
    with an_alpaca_world() as world:
        world.broker.submit(an_order("theirs", Side.BUY, OrderType.LIMIT, limit="9"))

        told = json.loads(check(world, tmp_path, "--json", cash="50000").stdout)["broker"]

    assert told["open_orders"] == 1
    assert told["to_do"] == [
        "set execution.initial_cash_usd to 100000: it is 50000",
        "close all positions and cancel all orders at the broker: the first session begins with none",
    ]


def test_wrong_keys_are_said_and_not_shown(tmp_path: Path) -> None:
    with an_alpaca_world() as world:
        told = check(world, tmp_path, secret="a-wrong-secret")  # noqa: S106

    assert told.exit_code == 1
    assert "Alpaca refused our keys" in told.stderr
    assert "a-wrong-secret" not in told.output


def test_without_a_broker_there_is_nobody_to_ask(tmp_path: Path) -> None:
    told = RUNNER.invoke(app, ["--home", str(tmp_path), "config", "check", "--broker"])

    assert told.exit_code == 1
    assert "there is no broker to ask" in told.stderr
