"""What a configuration must say before money is at stake: mode, host, keys; and what is refused by name."""

from __future__ import annotations

import itertools

import pytest
from pydantic import SecretStr, ValidationError

from trading_pipeline.adapters.brokers.alpaca.account import require_tradable
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import InputError, SettingsError
from trading_pipeline.settings import Settings, approval_hash, load_settings
from trading_pipeline.venue.alpaca.rules import door_rules
from trading_pipeline.venue.tws.rules import door_rules as tws_rules
from trading_pipeline.wiring.brokers import require_addresses

LIVE = {"trading_url": "https://api.alpaca.markets", "trading_stream_url": "wss://api.alpaca.markets/stream"}
PAPER_KEYS = {"key_id": "PK1", "secret_key": "s"}
LIVE_KEYS = {"live_key_id": "AK1", "live_secret_key": "s"}
BARE = {"TRADING_PIPELINE__BROKER__NAME": "alpaca"}


def settings_of(mode: str, **alpaca: str) -> Settings:
    return Settings.model_validate({"execution": {"mode": mode}, "broker": {"name": "alpaca", "alpaca": alpaca}})


def test_mode_live_needs_a_broker() -> None:
    with pytest.raises(ValidationError, match=r"live needs broker.name: alpaca or ib"):
        Settings.model_validate({"execution": {"mode": "live"}})


def test_each_mode_uses_the_keys_of_its_own_name() -> None:
    keys = {"key_id": "PK1", "secret_key": "p", "live_key_id": "AK1", "live_secret_key": "l"}

    used = {mode: settings_of(mode, **keys).alpaca for mode in ("simulation", "paper", "live")}

    assert {mode: one.key_id.get_secret_value() for mode, one in used.items()} == {
        "simulation": "PK1", "paper": "PK1", "live": "AK1",
    }  # fmt: skip
    assert used["live"].secret_key.get_secret_value() == "l"


def test_mode_live_speaks_to_the_live_hosts_with_live_keys() -> None:
    require_addresses(settings_of("live", **LIVE, **LIVE_KEYS))


@pytest.mark.parametrize(
    ("mode", "alpaca", "words"),
    [
        ("live", LIVE | PAPER_KEYS, "no live keys are set: TRADING_PIPELINE__BROKER__ALPACA__LIVE_KEY_ID"),
        ("live", LIVE | LIVE_KEYS | {"live_key_id": "PK1"}, "LIVE_KEY_ID holds a paper key"),
        ("live", LIVE | LIVE_KEYS | {"live_key_id": "XY1"}, "does not begin with AK"),
        ("live", LIVE | LIVE_KEYS | {"live_secret_key": " "}, "LIVE_SECRET_KEY"),
        ("paper", PAPER_KEYS | {"key_id": "AK1"}, "ALPACA__KEY_ID holds a live key"),
        ("simulation", {"trading_url": "http://127.0.0.1:1", "trading_stream_url": "ws://127.0.0.1:1", "key_id": "AK1"},
         "holds a live key"),
    ],
)  # fmt: skip
def test_keys_of_another_mode_are_refused_by_their_name(mode: str, alpaca: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        require_addresses(settings_of(mode, **alpaca))

    assert not any(key in str(caught.value) for key in ("AK1", "PK1", "XY1"))


@pytest.mark.parametrize("mode", ["simulation", "paper"])
def test_live_hosts_are_for_mode_live_alone(mode: str) -> None:
    with pytest.raises(InputError, match=f"api.alpaca.markets may not be spoken to in execution.mode {mode}"):
        require_addresses(settings_of(mode, **LIVE, **PAPER_KEYS))


def test_mode_live_does_not_speak_to_the_paper_host() -> None:
    with pytest.raises(InputError, match=r"paper-api.alpaca.markets may not be spoken to in execution.mode live"):
        require_addresses(settings_of("live", **LIVE_KEYS))


def test_a_paper_account_is_no_live_one() -> None:
    row = {"account_number": "PA12345", "status": "ACTIVE"}

    require_tradable(row, "PA12345")
    with pytest.raises(SettingsError, match="PA12345 is a paper account"):
        require_tradable(row, "PA12345", is_live=True)


@pytest.mark.parametrize(
    "name",
    [
        "TRADING_PIPELINE_EXECUTION__MODE", "TRADING_PIPELINE_EXECUTION_MODE", "trading_pipeline__execution__mode",
        "Trading_Pipeline__Execution__Mode", "TRADING_PIPELINE___EXECUTION__MODE", "TRADING_PIPELINEEXECUTION__MODE",
    ],
)  # fmt: skip
def test_a_variable_that_almost_sets_the_mode_is_refused_and_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name.strip("_") if "___" not in name else "execution"):
        load_settings(environ=BARE | {name: "live"})


@pytest.mark.parametrize(("variable", "key"), [("EXECUTION__MOD", "execution.mod"), ("EXECUTON__MODE", "executon")])
def test_a_misspelt_setting_in_the_environment_is_refused_and_named(variable: str, key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        load_settings(environ=BARE | {f"TRADING_PIPELINE__{variable}": "live"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environ = {"TRADING_PIPELINE_HOME": "/x", "TRADING_PIPELINE_UI_PORT": "3000", "TRADING_PIPELINE_SHARED": "/y"}

    assert load_settings(environ=environ).execution.mode == "simulation"


def test_a_door_marked_live_lets_in_live_keys_alone() -> None:
    settings = settings_of("live", **PAPER_KEYS, **LIVE_KEYS)

    assert [door_rules(settings, is_live=live).key_id for live in (False, True)] == ["PK1", "AK1"]
    assert [door_rules(Settings(), is_live=live).key_id[:2] for live in (False, True)] == ["PK", "AK"]


def test_a_tws_door_marked_live_has_the_number_of_a_live_account() -> None:
    paper = Settings.model_validate({"broker": {"account_id": "DU1"}})

    assert tws_rules(Settings(), is_live=True).account.startswith("U")
    assert tws_rules(paper).account == "DU1"
    with pytest.raises(InputError, match="DU1 is the number of a paper account"):
        tws_rules(paper, is_live=True)


def test_no_mixture_of_keys_is_taken_for_the_other_mode_s() -> None:
    ids = ("", "PK1", "AK1", "XY1")
    for mode, paper, live in itertools.product(("simulation", "paper", "live"), ids, ids):
        rules = AlpacaRules(
            key_id=SecretStr(paper), secret_key=SecretStr("s"), live_key_id=SecretStr(live),
            live_secret_key=SecretStr("s"),
        )  # fmt: skip
        if not rules.key_faults(mode):
            used = rules.of_mode(mode).key_id.get_secret_value()
            assert used.startswith("AK") if mode == "live" else not used.startswith("AK")


def test_an_approval_is_bound_to_the_broker_s_account_beside_the_settings() -> None:
    def bound(**broker: object) -> str:
        return approval_hash(Settings.model_validate({"broker": broker}))

    hashes = [bound(), bound(name="alpaca"), bound(name="alpaca", account_id="1"), bound(name="ib", account_id="1")]

    assert len(set(hashes)) == len(hashes)
    assert bound() == Settings().digest()
    assert bound(name="ib", account_id="1", ib={"port": 7496}) == hashes[-1]
