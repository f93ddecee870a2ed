"""Settings: one frozen tree from YAML, a profile and the environment; every mistake names file, line and key."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from trading_pipeline.domain.errors import SettingsError
from trading_pipeline.settings import SHIPPED_CONFIG, Settings, load_settings, resolve_home
from trading_pipeline.venue.rules import rules_from


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def keys(tree: dict[str, Any], prefix: str = "") -> set[str]:
    """Every key of a tree, with dots between the levels."""
    found = set()
    for name, value in tree.items():
        found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}"}
    return found


def test_timeframes_that_are_not_longer_in_turn_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("sabr20: {t1: 15min, t2: 15min, t3: 4h}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"must be longer in turn.*15min, 15min, 4h"):
        load_settings(profile=own)


def test_the_shipped_file_says_every_default_and_nothing_else() -> None:
    shipped = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))

    assert keys(shipped) == keys(Settings().model_dump(mode="json"))
    assert Settings.model_validate(shipped) == Settings()


def test_the_environment_overrides_the_profile_and_the_profile_the_file(tmp_path: Path) -> None:
    profile = written(tmp_path, "execution: {account: PROFILE, initial_cash_usd: 5000}\n")
    environ = {"TRADING_PIPELINE__EXECUTION__INITIAL_CASH_USD": "7000"}

    settings = load_settings(profile=profile, environ=environ)

    assert settings.execution.account == "PROFILE"
    assert settings.execution.initial_cash_usd == Decimal(7000)
    assert settings.execution.strategy == Settings().execution.strategy


def test_files_named_in_the_environment_are_read(tmp_path: Path) -> None:
    config = written(tmp_path, "execution: {account: CONFIG, strategy: mine}\n", "config.yaml")
    profile = written(tmp_path, "execution: {account: PROFILE}\n", "profile.yaml")

    environ = {"TRADING_PIPELINE_CONFIG": str(config), "TRADING_PIPELINE_PROFILE": str(profile)}
    execution = load_settings(environ=environ).execution

    assert (execution.account, execution.strategy) == ("PROFILE", "mine")


def test_equal_settings_have_one_digest_and_each_change_another() -> None:
    changed = Settings.model_validate({"venue": {"commission_usd_per_order": "1.01"}})

    assert Settings().digest() == Settings().digest() == load_settings(environ={}).digest()
    assert changed.digest() != Settings().digest()


def test_the_digest_does_not_hang_on_how_a_number_is_written() -> None:
    written = ({"venue": {"participation_fraction": one}} for one in ("0.1", "0.10", 0.1, Decimal("1E-1")))

    assert len({Settings.model_validate(tree).digest() for tree in written}) == 1


@pytest.mark.parametrize("limit", ["max_total_exposure_fraction", "buying_power_multiple"])
def test_leverage_needs_a_capital_scaling_above_one(limit: str) -> None:
    risk = {limit: "2.0"}

    with pytest.raises(ValidationError, match=rf"risk.{limit} \(2.0\) is leverage, and rebalance.capital_scaling is 1"):
        Settings.model_validate({"execution": {"risk": risk}})
    scaled = Settings.model_validate({"execution": {"risk": risk, "rebalance": {"capital_scaling": "2.0"}}})
    assert getattr(scaled.execution.risk, limit) == 2
    with pytest.raises(ValidationError, match="less than or equal to 2"):
        Settings.model_validate({"execution": {"risk": {limit: "2.1"}, "rebalance": {"capital_scaling": "2.0"}}})


@pytest.mark.parametrize(("broker", "longest"), [("ib", 15), ("alpaca", 45)])
def test_a_loop_that_waits_for_a_slow_broker_is_never_taken_for_one_that_hangs(broker: str, longest: float) -> None:
    def tree(name: str, seconds: float) -> dict[str, object]:
        return {"broker": {"name": name, broker: {"timeout_seconds": seconds}}}

    with pytest.raises(ValidationError, match=rf"hang_seconds \(90\) .* broker.{broker}.timeout_seconds {longest:g}: "):
        Settings.model_validate(tree(broker, longest))
    assert Settings.model_validate(tree(broker, longest - 0.1))
    assert Settings.model_validate(tree("simulated", longest))
    assert Settings.model_validate(tree(broker, longest) | {"execution": {"lease": {"hang_seconds": 91}}})


def test_the_venue_lends_what_the_limits_count_on_and_a_cash_account_borrows_nothing() -> None:
    execution = {"risk": {"buying_power_multiple": "2.0"}, "rebalance": {"capital_scaling": "2.0"}}
    assert rules_from(Settings.model_validate({"execution": execution})).buying_power_multiple == 2

    execution["risk"]["account_type"] = "cash"
    with pytest.raises(ValidationError, match="a cash account borrows nothing"):
        Settings.model_validate({"execution": execution})


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().execution.account = "OTHER"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("execution:\n  acount: X\n", ("execution.acount (mine.yaml:2)", "Extra inputs", "'X'")),
        ("execution:\n  entry_open_delay_minutes: soon\n", ("entry_open_delay_minutes (mine.yaml:2)", "'soon'")),
        ("execution:\n  mode: real\n", ("execution.mode (mine.yaml:2)", "'simulation'", "'live'")),
        (
            "execution:\n  entry_close_lead_minutes: 1\n",
            ("entry_close_lead_minutes (1)", "flatten_before_close_minutes", "flattened at once"),
        ),
        ("venue: {slippage_fraction: .nan}\n", ("venue.slippage_fraction (mine.yaml:1)",)),
        ("- a list\n", ("must hold settings by name, not a list",)),
        ("a: [1\n", ("mine.yaml is not valid YAML",)),
    ],
)
def test_a_wrong_setting_is_told_with_file_line_key_and_fix(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(profile=written(tmp_path, text), environ={})

    assert "mine.yaml" in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere.yaml: No such file"):
        load_settings(tmp_path / "nowhere.yaml", environ={})


@pytest.mark.parametrize("name", ["TRADING_PIPELINE__EXECUTION", "TRADING_PIPELINE__EXECUTION__ACCOUNT__X"])
def test_an_override_of_the_wrong_shape_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"execution|shorter name already gives account"):
        load_settings(environ={name: "7", "TRADING_PIPELINE__EXECUTION__ACCOUNT": "A"})


def test_an_override_that_is_no_yaml_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="TRADING_PIPELINE__EXECUTION__ACCOUNT"):
        load_settings(environ={"TRADING_PIPELINE__EXECUTION__ACCOUNT": "[1"})


@pytest.mark.parametrize("account", [" SIM", "SIM ", "S\u0406M", "SIM\u200b", "../SIM", "-", "SIM\n", "A" * 33])
def test_the_name_of_an_account_is_not_taken_for_another_one(account: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"execution\.account"):
        load_settings(written(tmp_path, yaml.safe_dump({"execution": {"account": account}})), environ={})


def test_the_home_is_the_argument_then_the_environment_then_a_folder_here(tmp_path: Path) -> None:
    environ = {"TRADING_PIPELINE_HOME": str(tmp_path / "env")}

    assert resolve_home(tmp_path / "arg", environ) == tmp_path / "arg"
    assert resolve_home(None, environ) == tmp_path / "env"
    assert resolve_home(None, {}) == Path.cwd() / ".trading_pipeline"


OF_ALPACA = "TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY"


@pytest.mark.parametrize("secret", ["12345678", "[no: yaml", "@start", "yes", "0x1F", "null", "a: b # c", "'quoted'"])
def test_a_secret_from_the_environment_is_taken_as_it_is_written(secret: str) -> None:
    settings = load_settings(environ={OF_ALPACA: secret, "TRADING_PIPELINE__STORAGE__DATABASE_URL": secret})

    assert settings.broker.alpaca.secret_key.get_secret_value() == secret
    assert settings.storage.database_url.get_secret_value() == secret


def test_a_secret_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    profile = written(tmp_path, "broker: {alpaca: {secret_key: 12345678, key_id: [canary-1]}}\n")

    with pytest.raises(SettingsError, match=r"broker\.alpaca\.secret_key") as refused:
        load_settings(profile=profile, environ={})

    assert "12345678" not in str(refused.value)
    assert "canary-1" not in str(refused.value)


def test_what_is_logged_watched_and_backed_up_changes_no_decision() -> None:
    other = {"logs": {"level": "debug"}, "health": {"every_seconds": 1}, "storage": {"backup_keep_days": 2}}

    assert Settings.model_validate(other).digest() == Settings().digest()
