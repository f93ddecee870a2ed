"""Keys from a file outside the repository: private, complete, beneath the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.domain.errors import SettingsError
from trading_pipeline.env_file import ENV_FILE_VARIABLE, environment, read_env_file
from trading_pipeline.settings import load_settings, resolve_home

KEY = "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID"
SECRET = KEY.replace("KEY_ID", "SECRET_KEY")


def a_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "paper trading.env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_keys_of_the_file_are_settings_as_they_are_written(tmp_path: Path) -> None:
    path = a_file(tmp_path, f"# of the paper account\n{KEY}=PK12\nexport {SECRET}='a$b {{c}} #d'\n\n")

    alpaca = load_settings(environ={ENV_FILE_VARIABLE: str(path)}).broker.alpaca

    assert (alpaca.key_id.get_secret_value(), alpaca.secret_key.get_secret_value()) == ("PK12", "a$b {c} #d")


def test_the_environment_stands_above_the_file_and_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = a_file(tmp_path, f"{KEY}=of-the-file\n{SECRET}=s\nTRADING_PIPELINE_HOME=/of/the/file\n")
    environ = {ENV_FILE_VARIABLE: str(path), KEY: "of-the-environment"}

    assert environment(environ)[KEY] == "of-the-environment"
    assert resolve_home(environ=environ) == Path("/of/the/file")
    path.write_text(f"{SECRET}=other\n", encoding="utf-8")
    assert environment(environ)[SECRET] == "other"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_command_to_run(tmp_path: Path, mode: int) -> None:
    path = a_file(tmp_path, f"{KEY}=PK12\n", mode)

    with pytest.raises(SettingsError, match="Run: chmod 600"):
        read_env_file(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ALPACA_KEY=sesame\n", "ALPACA_KEY"),
        (f"{KEY}=PK12\nsesame without a name\n", "line 2 not NAME=VALUE"),
        (f"{KEY}\n", "line 1 not NAME=VALUE"),
    ],
)
def test_a_line_of_no_use_is_told_without_its_value(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        read_env_file(a_file(tmp_path, text))

    assert "sesame" not in str(refused.value)


def test_a_missing_or_unreadable_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.env .*--env-file"):
        load_settings(environ={ENV_FILE_VARIABLE: str(tmp_path / "nowhere.env")})
    with pytest.raises(SettingsError, match="no plain file"):
        read_env_file(tmp_path)
    path = a_file(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read as text"):
        read_env_file(path)


def test_the_option_may_stand_anywhere_and_shows_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")  # put back at the end
    path = a_file(tmp_path, f"{KEY}=PK-sesame\n{SECRET}=sesame\n")

    done = CliRunner().invoke(app, ["--env-file", str(path), "config", "show"])

    assert done.exit_code == 0, done.output
    assert "broker.alpaca.key_id" in done.output
    assert "sesame" not in done.output
