"""Every finding of the doctor is seen to be found: a healthy machine is ok, each fault comes with its fix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.domain.health import HealthRules, Level
from trading_pipeline.domain.machine import ClockFacts, Database, Machine, Place, Port
from trading_pipeline.services.doctor import CHECKS, diagnose

NOW = datetime(2025, 6, 10, 12, tzinfo=UTC)
HOME = Place(path=Path("/srv/ann/trading"), mode=0o700)
DATABASE = Database(place="ledger.sqlite3", newest="0004", version="0004")
CLOCK = ClockFacts(now=NOW, host_zone="Asia/Tokyo", synchronized=True, new_york_hours=(-5.0, -4.0))
UI = Port(number=3000, what="UI", option="--port")
HEALTHY = Machine(
    python=(3, 11), versions={"dagster": "1.13.27", "ib_insync": "0.9.86"}, unmet=(), home=HOME, free_bytes=10**11,
    umask=0o077, open_files=4096, ports=(UI,), database=DATABASE, calendar="XNYS", last_session=date(2026, 6, 10),
    today="a session from 09:30 to 16:00", clock=CLOCK, memory_bytes=8 * 10**9, has_systemd=True, has_unit=True,
)  # fmt: skip
FAULTS: list[tuple[str, Level, dict[str, Any], str]] = [
    ("python", Level.FAIL, {"python": (3, 10)}, "install Python 3.11"),
    ("python", Level.FAIL, {"python": (3, 14)}, "install Python 3.11"),
    ("packages", Level.FAIL, {"unmet": ("dagster-webserver 1.13.26, needed ==1.13.27",)}, "make install"),
    ("ib client", Level.FAIL, {"versions": {"ib_insync": "0.9", "ib_async": "2.1"}}, "keeps one"),
    ("settings", Level.FAIL, {"settings_problem": "1 wrong setting"}, "config check"),
    ("keys", Level.FAIL, {"broker": "alpaca", "missing_keys": ("A_KEY",)}, "--env-file"),
    ("env file", Level.FAIL, {"env_file": Place(path=Path("/x"), problem="others may read")}, "message"),
    ("env file", Level.FAIL, {"env_file": Place(path=Path("/r/x")), "env_file_repository": "/r"}, "mv /r/x"),
    ("home", Level.FAIL, {"home": replace(HOME, mode=0o770)}, "chmod 700 /srv/ann/trading"),
    ("home", Level.WARN, {"home": replace(HOME, mode=0o755)}, "chmod 700 /srv/ann/trading"),
    ("home", Level.FAIL, {"home": replace(HOME, is_ours=False)}, "sudo chown"),
    ("home", Level.FAIL, {"home": replace(HOME, network="nfs4")}, "PostgreSQL"),
    ("home", Level.FAIL, {"home": replace(HOME, problem="/srv may not be written")}, "--home"),
    ("umask", Level.FAIL, {"umask": 0o000}, "umask 077"),
    ("umask", Level.WARN, {"umask": 0o022}, "umask 077"),
    ("disk", Level.WARN, {"free_bytes": 4 * 10**9}, "at least 5 GB"),
    ("disk", Level.FAIL, {"free_bytes": 10**8}, "at least 5 GB"),
    ("disk", Level.WARN, {"free_bytes": None}, "df -h"),
    ("memory", Level.WARN, {"memory_bytes": 10**9}, "2 GB"),
    ("open files", Level.WARN, {"open_files": 256}, "ulimit -n 1024"),
    ("ports", Level.FAIL, {"ports": (replace(UI, user=" by process 7 (nginx)"),)}, "up --port PORT"),
    ("database", Level.FAIL, {"database": replace(DATABASE, problem="no answer from db:5432")}, "storage.database_url"),
    ("database", Level.WARN, {"database": replace(DATABASE, version="0003")}, "db upgrade"),
    ("database", Level.FAIL, {"database": replace(DATABASE, version="0005")}, "newer release"),
    ("audit", Level.FAIL, {"audit_problem": "the audit key is missing"}, "audit verify"),
    ("audit", Level.WARN, {"relay_lacks": 3}, "relay run"),
    ("latch", Level.FAIL, {"latch_problem": "the latch cannot be read"}, "no entry leaves"),
    ("latch", Level.WARN, {"latched": "daily loss"}, "resume"),
    ("calendar", Level.WARN, {"last_session": date(2025, 7, 1)}, "exchange-calendars"),
    ("calendar", Level.FAIL, {"last_session": date(2025, 6, 9)}, "exchange-calendars"),
    ("calendar", Level.FAIL, {"calendar_problem": "outside the calendar"}, "exchange-calendars"),
    ("time zones", Level.FAIL, {"clock": replace(CLOCK, new_york_hours=None)}, "tzdata"),
    ("time zones", Level.FAIL, {"clock": replace(CLOCK, new_york_hours=(-5.0, -5.0))}, "tzdata"),
    ("clock", Level.FAIL, {"clock": replace(CLOCK, changed_at=NOW + timedelta(days=1))}, "set-ntp"),
    ("clock", Level.FAIL, {"database": replace(DATABASE, ahead_by_seconds=4 * 3600.0)}, "set-ntp"),
    ("clock", Level.FAIL, {"clock": replace(CLOCK, venue_ahead_seconds=-2.5)}, "set-ntp"),
    ("clock", Level.WARN, {"clock": replace(CLOCK, venue_ahead_seconds=1.5)}, "set-ntp"),
    ("clock", Level.WARN, {"clock": replace(CLOCK, venue_problem="keys are refused")}, "set-ntp"),
    ("clock", Level.WARN, {"clock": replace(CLOCK, synchronized=False)}, "set-ntp"),
    ("service", Level.WARN, {"has_unit": False}, "service print"),
]


def test_a_healthy_machine_is_fit_wherever_it_stands() -> None:
    report = diagnose(HEALTHY, HealthRules())

    assert [(one.name, one.says) for one in report.findings if one.level is not Level.OK] == []
    assert all(one.says and not one.advice for one in report.findings)
    assert "a session from 09:30" in report.find("calendar").says


@pytest.mark.parametrize(("name", "level", "fault", "fix"), FAULTS)
def test_each_fault_is_told_once_with_its_fix(name: str, level: Level, fault: dict[str, Any], fix: str) -> None:
    report = diagnose(replace(HEALTHY, **fault), HealthRules())
    found = report.find(name)

    assert (found.level, report.level) == (level, level), found
    assert fix in found.advice
    assert [one.name for one in report.findings if one.level is not Level.OK] == [name]


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {name for name, *_ in FAULTS} == {one.name for one in diagnose(HEALTHY, HealthRules()).findings}
    assert len(CHECKS) == len(diagnose(HEALTHY, HealthRules()).findings)


@pytest.mark.parametrize(
    "fact",
    [
        {"ports": (replace(UI, user=" by process 7 (python)", is_ours=True),)},
        {"database": replace(DATABASE, version=None)},
        {"home": replace(HOME, mode=None)},
        {"clock": replace(CLOCK, synchronized=None)},
        {"clock": replace(CLOCK, venue_ahead_seconds=0.9)},
        {"broker": "alpaca"},
        {"has_systemd": False, "has_unit": False},
        {"has_unit": False, "is_container": True},
        {"processes": ("daemon running",)},
    ],
)
def test_what_is_no_fault_is_told_as_ok(fact: dict[str, Any]) -> None:
    assert diagnose(replace(HEALTHY, **fact), HealthRules()).level is Level.OK
