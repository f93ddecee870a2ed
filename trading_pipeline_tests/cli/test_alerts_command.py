"""alerts list, show, ack, test, channels, kinds; and that docs/alerts.md says what works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from trading_pipeline.adapters.apprise_channels import open_channels
from trading_pipeline.cli.app import app, hoisted
from trading_pipeline.domain.alert_kinds import KINDS, alert
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.settings import load_settings
from trading_pipeline.wiring import open_workspace
from trading_pipeline.wiring.alerts import usable_channels
from trading_pipeline_tests.docs import DOCS
from trading_pipeline_tests.listening import Answer, Hook, free_port

NOW = datetime.now(UTC).replace(microsecond=0)
CHANNELS = "TRADING_PIPELINE__ALERTS__CHANNELS__"
WHO = ("--operator", "Kim")
PAGE = (DOCS / "alerts.md").read_text(encoding="utf-8")
HOSTILE = "sold\n2026 all is well\x1b[2J [red]x[/red] \u202egpj"


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, hoisted(["--home", str(home), *arguments]))
    return done.exit_code, " ".join(done.output.split())


def read(home: Path, *arguments: str) -> Any:
    code, output = run(home, "alerts", *arguments, "--json")
    assert code == 0, output
    return json.loads(output)


def raised(home: Path, kind: str, cause: str = "1", hours_ago: float = 0, message: str = "words") -> Alert:
    found = alert(
        kind, cause, account="SIM", session=NOW.date(), at=NOW - timedelta(hours=hours_ago), message=message,
        data={"symbol": "XYZ"},
    )  # fmt: skip
    with open_workspace(home).ledger.transaction() as tx:
        tx.raise_alert(found)
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with nothing on it: made once, because that takes longest."""
    home = tmp_path_factory.mktemp("empty")
    open_workspace(home).ledger.close()
    return home


@pytest.fixture(autouse=True)
def _begun(empty: Path, tmp_path: Path) -> None:
    shutil.copytree(empty, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A server that stands at the end of two channels, mail and phone."""
    with Hook() as opened:
        for place, name in enumerate(("MAIL", "PHONE"), start=1):
            monkeypatch.setenv(f"{CHANNELS}{name}__URL", f"json://{opened.place}/{name.lower()}")
            monkeypatch.setenv(f"{CHANNELS}{name}__ESCALATION_ORDER", str(place))
        yield opened


# list, show, ack


def test_alerts_are_listed_newest_first_and_picked_by_level_time_and_notice(tmp_path: Path) -> None:
    stop, kill, halt = (
        raised(tmp_path, "stop_hit", hours_ago=30), raised(tmp_path, "kill", hours_ago=2), raised(tmp_path, "drawdown"),
    )  # fmt: skip
    assert run(tmp_path, "alerts", "ack", kill.alert_id, *WHO)[0] == 0

    def ids(*options: str) -> list[str]:
        return [one["id"] for one in read(tmp_path, "list", *options)]

    assert ids() == [halt.alert_id, kill.alert_id, stop.alert_id]
    assert ids("--limit", "1") == [halt.alert_id]
    assert ids("--level", "warning") == [halt.alert_id, kill.alert_id]
    assert ids("--since", (NOW - timedelta(hours=3)).isoformat()) == [halt.alert_id, kill.alert_id]
    assert ids("--unacknowledged") == ids("--open") == [halt.alert_id]
    code, words = run(tmp_path, "alerts", "list", "--since", "yesterday")
    assert (code, "write --since 2025-06-10" in words) == (1, True)


def test_the_first_notice_stays_and_is_audited_with_name_and_reason(tmp_path: Path) -> None:
    kill = raised(tmp_path, "kill")

    for name in ("Kim", "Robin"):
        code, words = run(tmp_path, "alerts", "ack", kill.alert_id, "--operator", name, "--reason", "on it")
        assert code == 0
        assert "acknowledged by Kim" in words

    with open_workspace(tmp_path).ledger.read() as tx:
        told = [entry for _, entry in tx.audit_entries() if entry.kind == "alert_acknowledged"]
    assert [(one.actor, one.subject, one.data["reason"]) for one in told] == [("Kim", kill.alert_id, "on it")]
    shown = read(tmp_path, "show", kill.alert_id)
    assert (shown["acknowledged"]["operator"], shown["deliveries"]) == ("Kim", [])


def test_all_that_waits_is_acknowledged_together(tmp_path: Path) -> None:
    waiting = [raised(tmp_path, "kill", str(number)) for number in range(3)]
    raised(tmp_path, "stop_hit")

    given = read(tmp_path, "ack", "--all", *WHO)

    assert [one["id"] for one in given] == [one.alert_id for one in waiting]
    assert run(tmp_path, "alerts", "ack", "--all", *WHO)[1] == "nobody is waited for"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ack", "no-such-alert", *WHO), "no alert 'no-such-alert' is on record"),
        (("show", "no-such-alert"), "no alert 'no-such-alert' is on record"),
        (("ack", *WHO), "name one alert, or say --all"),
        (("ack", "x", "--all", *WHO), "name one alert, or say --all"),
        (("test",), "no channel of alerts is set up"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    code, output = run(tmp_path, "alerts", *words)

    assert code == 1
    assert says in output


def test_a_notice_without_a_name_is_refused(tmp_path: Path) -> None:
    kill = raised(tmp_path, "kill")

    assert run(tmp_path, "alerts", "ack", kill.alert_id)[0] == 2
    code, output = run(tmp_path, "alerts", "ack", kill.alert_id, "--operator", " ")
    assert (code, "needs a name" in output) == (1, True)
    assert read(tmp_path, "list", "--open")


def test_words_from_outside_steer_no_terminal(tmp_path: Path) -> None:
    found = raised(tmp_path, "kill", message=HOSTILE)

    for verb in (("list",), ("show", found.alert_id)):
        shown = CliRunner().invoke(app, ["--home", str(tmp_path), "alerts", *verb]).output
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[red]x[/red]" in " ".join(shown.split())
        assert not any(line.startswith("2026 all is well") for line in shown.splitlines())


def test_one_alert_shows_every_channel_it_went_to(tmp_path: Path, hook: Hook) -> None:
    kill = raised(tmp_path, "kill")
    assert run(tmp_path, "relay", "run", "--once")[0] == 0

    shown = read(tmp_path, "show", kill.alert_id)

    assert [one.json["title"] for one in hook.requests].count("CRITICAL: kill SIM") == 2
    assert {one["channel"]: (one["state"], one["attempts"]) for one in shown["deliveries"]} == {
        "mail": ("delivered", 1), "phone": ("delivered", 1),
    }  # fmt: skip
    code, words = run(tmp_path, "alerts", "show", kill.alert_id)
    assert code == 0
    assert f"alerts ack {kill.alert_id} --operator NAME" in words
    found = {one["channel"]: (one["circuit"], one["delivered"] > 0) for one in read(tmp_path, "channels")}
    assert found == {"mail": ("closed", True), "phone": ("closed", True)}


# test, kinds


def test_a_test_tries_each_channel_and_fails_when_one_does(tmp_path: Path, hook: Hook) -> None:
    assert {name: one["outcome"] for name, one in read(tmp_path, "test").items()} == dict.fromkeys(
        ("mail", "phone"), "delivered"
    )
    hook.otherwise = Answer(500)
    code, output = run(tmp_path, "alerts", "test", "--channel", "PHONE")

    assert code == 1
    assert "1 of 1 channel(s) did not take the test: phone" in output
    assert sorted(one.path for one in hook.requests) == ["/mail", "/phone", "/phone"]
    with open_workspace(tmp_path).ledger.read() as tx:
        told = [entry.data for _, entry in tx.audit_entries() if entry.kind == "alerts_tested"]
    assert told == [{"mail": "delivered", "phone": "delivered"}, {"phone": "failed"}]


def test_an_address_nobody_understands_keeps_no_other_channel_from_its_news(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{CHANNELS}FAX__URL", "nothing://at.all/T0pS3cret")
    raised(tmp_path, "kill")
    assert run(tmp_path, "relay", "run", "--once")[0] == 0
    code, output = run(tmp_path, "alerts", "test")

    assert [one.json["title"] for one in hook.requests].count("CRITICAL: kill SIM") == 2
    (fax,) = (one for one in read(tmp_path, "channels") if one["channel"] == "fax")
    assert (fax["delivered"], "Correct TRADING_PIPELINE__ALERTS__CHANNELS__FAX__URL" in fax["last_error"]) == (0, True)
    assert (code, "1 of 3 channel(s) did not take the test: fax" in output) == (1, True)
    code, output = run(tmp_path, "config", "check")
    assert (code, "alerts.channels.fax.url is no address" in output, "T0pS3cret" in output) == (1, True, False)


def test_only_addresses_that_are_understood_count_where_money_is_at_stake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{CHANNELS}FAX__URL", "nothing://at.all")
    assert usable_channels(load_settings()) == 0
    monkeypatch.setenv(f"{CHANNELS}HOOK__URL", "json://127.0.0.1:9/x")
    assert usable_channels(load_settings()) == 1


def test_a_test_tells_how_it_went_though_nothing_can_be_put_on_record(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    monkeypatch.setenv("TRADING_PIPELINE__STORAGE__DATABASE_URL", url)

    code, output = run(tmp_path, "alerts", "test")

    assert (code, len(hook.requests)) == (0, 2), output
    assert "the test is not on record" in output


def test_a_channel_that_is_not_set_up_is_named_with_those_that_are(tmp_path: Path, hook: Hook) -> None:
    code, output = run(tmp_path, "alerts", "test", "--channel", "fax")

    assert code == 1
    assert "'fax' is no channel that is enabled: mail, phone" in output
    assert hook.requests == []


def test_the_kinds_are_those_of_the_table(tmp_path: Path) -> None:
    assert [one["kind"] for one in read(tmp_path, "kinds")] == list(KINDS)


# the page


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def set_up_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in "".join(blocks("env")).splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)


def test_the_lines_of_the_page_set_up_channels_that_apprise_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_as_the_page_says(monkeypatch)

    rules = load_settings().alerts
    opened = open_channels(rules, str)

    assert set(opened) == {"mail", "phone", "slack", "discord", "hook"}
    assert rules.in_order()[-1] == "phone"
    assert rules.channels["phone"].min_level is AlertLevel.CRITICAL


def test_each_first_line_of_a_channel_stands_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [line for block in blocks("env") for line in block.splitlines() if "__URL=" in line]

    for line in addresses:
        name, _, value = line.partition("=")
        with monkeypatch.context() as alone:
            alone.setenv(name, value)
            assert len(open_channels(load_settings().alerts, str)) == 1
    assert len(addresses) == 6


def test_the_rules_of_the_page_hold_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_as_the_page_says(monkeypatch)
    (block,), profile = blocks("yaml"), tmp_path / "profile.yaml"
    profile.write_text(block, encoding="utf-8")

    rules = load_settings(profile=profile).alerts.rules

    assert [rule.name for rule in rules] == [
        one["name"] for one in yaml.safe_load(profile.read_text())["alerts"]["rules"]
    ]


def commands() -> Iterator[str]:
    """What stands in fenced blocks of no language, top to bottom."""
    language: str | None = None
    for line in PAGE.splitlines():
        if line.startswith("```"):
            language = line.removeprefix("```") if language is None else None
        elif language == "":
            yield line.removeprefix("trading-pipeline ")


def test_every_command_of_the_page_works(tmp_path: Path, hook: Hook) -> None:
    raised(tmp_path, "kill")

    done = {command: run(tmp_path, *shlex.split(command)) for command in commands()}

    assert {command: said for command, said in done.items() if said[0] != 0} == {}
    assert len(done) >= 8
    assert os.environ[f"{CHANNELS}MAIL__URL"] not in str(done)
