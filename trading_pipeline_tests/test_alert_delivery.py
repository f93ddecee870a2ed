"""Alerts of real sessions through a real relay process to servers on the loopback interface."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.adapters.clock import FixedClock, SystemClock
from trading_pipeline.cli.app import app
from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.alerting import DeliveryState
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.wiring import open_workspace
from trading_pipeline_tests.hosts import until
from trading_pipeline_tests.listening import BREAKS, HANGS, Answer, Hook
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]
COMMAND = [sys.executable, "-m", "trading_pipeline.cli"]
CANARY = "C4n4ryT0kenOfTheHook99"
LOUD = {f"TRADING_PIPELINE__LOGS__{name}": "debug" for name in ("LEVEL", "LIBRARY_LEVEL", "CONSOLE_LEVEL")}
NEVER = datetime.max.replace(tzinfo=UTC)
QUICK = {"MESSAGES_PER_MINUTE": "600", "BURST_MESSAGES": "100", "TIMEOUT_SECONDS": "1"}


def settings_of(**hooks: str) -> dict[str, str]:
    """The environment that sets these channels up, in this order."""
    found = dict[str, str]()
    for place, (name, url) in enumerate(hooks.items(), start=1):
        of = f"TRADING_PIPELINE__ALERTS__CHANNELS__{name.upper()}__"
        found |= {f"{of}URL": url, f"{of}ESCALATION_ORDER": str(place), **{f"{of}{k}": v for k, v in QUICK.items()}}
    return found


@contextmanager
def relay(home: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """A relay of the home as a process of its own, once it has said that it runs; in the end, all it has said."""
    said = list[str]()
    words = [*COMMAND, "relay", "run", "--home", str(home)]
    with subprocess.Popen(
        words, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert "runs" in process.stdout.readline()
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
            said.append(process.communicate(timeout=30)[0])


@dataclass
class BreakingClock(FixedClock):
    """A mistake of ours, at an instant of the session."""

    breaks_at: datetime = NEVER

    def sleep_until(self, instant: datetime) -> None:
        if instant >= self.breaks_at:
            raise ZeroDivisionError("a mistake of ours")
        super().sleep_until(instant)


def end_by_a_mistake(made: TradedHome) -> None:
    """The running session, hosted from before the open until its loop ends by an error."""
    opens_at = made.open().calendar.times(made.running).opens_at
    clock = BreakingClock(opens_at - timedelta(minutes=15), breaks_at=opens_at + timedelta(minutes=7))
    with pytest.raises(ZeroDivisionError):
        replace(made.open(), clock=clock).host(made.running)


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.slow
def test_a_critical_alert_of_a_session_is_heard_within_five_seconds_though_one_channel_hangs_and_one_fails(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    made = traded_home.copied_to(tmp_path)
    with Hook(otherwise=HANGS) as hung, Hook(otherwise=Answer(500)) as broken, Hook() as hook:
        channels = settings_of(
            hung=f"json://{hung.place}/{CANARY}1", broken=f"json://{broken.place}/{CANARY}2",
            hook=f"json://{hook.place}/{CANARY}3",
        )  # fmt: skip
        with relay(made.home, {**channels, **LOUD}) as said:
            end_by_a_mistake(made)
            raised = time.monotonic()
            until(lambda: any("loop_failed" in one.json["title"] for one in hook.requests), 10)
            heard = next(one for one in hook.requests if "loop_failed" in one.json["title"])

    assert heard.at - raised < 5
    assert heard.json["title"] == "CRITICAL: loop_failed SIM"
    assert "ZeroDivisionError: a mistake of ours" in heard.json["message"]
    (alert_id,) = re.findall(r"alerts ack (\S+)", heard.json["message"])
    code, shown = run(made.home, "alerts", "show", alert_id)
    assert code == 0
    assert re.search(r"hook delivered 1", shown), shown
    assert run(made.home, "alerts", "ack", alert_id, "--operator", "Kim", "--reason", "restarted")[0] == 0
    assert run(made.home, "alerts", "list", "--open")[1] == "nobody is waited for"
    assert_nowhere(made.home, *said)


def assert_nowhere(home: Path, said: str) -> None:
    """No address of a channel is in a log, in the database, in its journal, or on the terminal."""
    files = [file for file in home.rglob("*") if file.is_file() and file.suffix != ".parquet"]
    assert any(file.parent.name == "logs" and b"urllib3" in file.read_bytes() for file in files)
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []
    assert CANARY not in said


# the figures


def raise_one(home: Path, found: Alert) -> None:
    with open_workspace(home).ledger.transaction() as tx:
        assert tx.raise_alert(found)


def numbered(number: int, level: AlertLevel = AlertLevel.CRITICAL) -> Alert:
    now = SystemClock().now()
    return alert(
        "loop_dead", str(number), account="SIM", session=now.date(), at=now, level=level,
        message=f"nobody guards the positions, no. {number}.",
    )  # fmt: skip


@pytest.mark.soak
def test_of_200_critical_alerts_99_percent_are_heard_within_five_seconds(tmp_path: Path) -> None:
    home, raised = tmp_path, dict[int, float]()
    open_workspace(home).ledger.close()
    with Hook() as hook, relay(home, settings_of(hook=f"json://{hook.place}/")):
        ledger = open_workspace(home).ledger
        for number in range(200):
            with ledger.transaction() as tx:
                tx.raise_alert(numbered(number))
            raised[number] = time.monotonic()
            time.sleep(0.15)
        until(lambda: len(heard(hook)) == 200, 30)

    late = sorted(at - raised[number] for number, at in heard(hook).items())
    assert late[197] < 5, f"p50 {late[100]:.3f} s, p99 {late[197]:.3f} s, most {late[-1]:.3f} s"


def heard(*hooks: Hook) -> dict[int, float]:
    """When each numbered alert was heard first."""
    found = dict[int, float]()
    for request in sorted((one for hook in hooks for one in hook.requests), key=lambda one: one.at):
        for number in re.findall(r"no\. (\d+)\.", request.json["message"]):
            found.setdefault(int(number), request.at)
    return found


@pytest.mark.soak
def test_of_10_000_alerts_with_each_channel_failing_in_turn_no_critical_one_is_lost(tmp_path: Path) -> None:
    home, levels = tmp_path, (AlertLevel.CRITICAL, *[AlertLevel.WARNING] * 9)
    ledger = open_workspace(home).ledger
    with Hook() as one, Hook() as two, Hook() as three:
        hooks = (one, two, three)
        channels = settings_of(**{f"hook{n}": f"json://{hook.place}/" for n, hook in enumerate(hooks)})
        with relay(home, channels):
            for number in range(10_000):
                if number % 100 == 0:
                    break_in_turn(hooks, number // 100)
                    time.sleep(0.2)
                    with ledger.transaction() as tx:
                        for other in range(number, number + 100):
                            tx.raise_alert(numbered(other, levels[other % 10]))
            for hook in hooks:
                hook.otherwise = Answer()
            until(lambda: not open_criticals(home), 300)

    fates = critical_fates(home)
    assert len(fates) == 1000
    assert all(DeliveryState.DELIVERED in states for states in fates.values())
    assert all(hook.requests for hook in hooks)


def break_in_turn(hooks: tuple[Hook, ...], turn: int) -> None:
    """Each of them in turn hangs, answers 500, or hangs up, for a while; the others are well."""
    troubles = (HANGS, Answer(500), BREAKS)
    for place, hook in enumerate(hooks):
        hook.otherwise = troubles[(turn // 15) % 3] if place == (turn // 5) % 3 else Answer()


def critical_fates(home: Path) -> dict[str, list[DeliveryState]]:
    with open_workspace(home).ledger.read() as tx:
        found = tx.recent_alerts(level=AlertLevel.CRITICAL, kind="loop_dead", limit=20_000)
        return {one.alert_id: [made.state for made in tx.deliveries(one.alert_id)] for one, _ in found}


def open_criticals(home: Path) -> list[str]:
    return [name for name, states in critical_fates(home).items() if DeliveryState.DELIVERED not in states]
