"""Whether this machine is fit to trade from: each finding with what was seen and its fix."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta

from trading_pipeline.domain.health import Finding, HealthReport, HealthRules, Level, rated
from trading_pipeline.domain.machine import Machine, Place

DAGSTER_SET = ("dagster", "dagster-webserver", "dagster-postgres")
LEAST_FILES, LEAST_MEMORY = 1024, 2_000_000_000
OTHERS_WRITE, OTHERS = stat.S_IWGRP | stat.S_IWOTH, stat.S_IRWXG | stat.S_IRWXO
NEW_YORK_HOURS = (-5.0, -4.0)
FAR_AHEAD = 10.0
"""Seconds: a row that much in the future was written by another clock."""


def diagnose(machine: Machine, rules: HealthRules) -> HealthReport:
    """Every check on the machine, in the order they are shown. rules: edges of disk and clock skew."""
    return HealthReport(machine.clock.now, tuple(check(machine, rules) for check in CHECKS))


def _finding(name: str, level: Level, says: str, advice: str = "") -> Finding:
    return Finding(name=name, level=level, says=says, advice="" if level is Level.OK else advice)


def python(machine: Machine, _rules: HealthRules) -> Finding:
    major, minor = machine.python
    good = (3, 11) <= machine.python < (3, 14)
    fix = "install Python 3.11, 3.12 or 3.13, then: make install PYTHON=/path/to/it"
    return _finding("python", Level.OK if good else Level.FAIL, f"Python {major}.{minor}", fix)


def packages(machine: Machine, _rules: HealthRules) -> Finding:
    fix = "make install (packages are installed as the lock file says, with hashes)"
    if machine.unmet:
        return _finding("packages", Level.FAIL, f"not as required: {', '.join(machine.unmet)}", fix)
    shown = ", ".join(f"{name} {machine.versions.get(name, 'missing')}" for name in DAGSTER_SET)
    return _finding("packages", Level.OK, f"{len(machine.versions)} as required; {shown}")


def ib_client(machine: Machine, _rules: HealthRules) -> Finding:
    found = [name for name in ("ib_insync", "ib_async") if name in machine.versions]
    if len(found) > 1:
        says = "ib_insync and ib_async are both installed, and overwrite each other's parts"
        return _finding("ib client", Level.FAIL, says, "make install, which keeps one of them")
    return _finding("ib client", Level.OK, found[0] if found else "none: only needed for Interactive Brokers")


def settings(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.settings_problem:
        fix = "correct it; the rest was looked at with the shipped settings. Check: trading-pipeline config check"
        return _finding("settings", Level.FAIL, machine.settings_problem, fix)
    return _finding("settings", Level.OK, "valid")


def keys(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.broker == "simulated":
        return _finding("keys", Level.OK, "none needed: broker.name is simulated")
    if machine.missing_keys:
        fix = "put them as NAME=VALUE into a file outside the repository, chmod 600 it, and name it with --env-file"
        return _finding("keys", Level.FAIL, f"{machine.broker} needs {' and '.join(machine.missing_keys)}", fix)
    return _finding("keys", Level.OK, f"those of {machine.broker} are set")


def env_file(machine: Machine, _rules: HealthRules) -> Finding:
    place = machine.env_file
    if place is None:
        return _finding("env file", Level.OK, "none: keys come from the environment alone")
    if place.problem:
        return _finding("env file", Level.FAIL, place.problem, "as the message says")
    if machine.env_file_repository:
        fix = f"mv {place.path} ~/.config/trading-pipeline.env, and name that one"
        says = f"{place.path} lies in the repository {machine.env_file_repository}: one commit away from being public"
        return _finding("env file", Level.FAIL, says, fix)
    return _finding("env file", Level.OK, f"{place.path}, only its owner may read it")


def home(machine: Machine, _rules: HealthRules) -> Finding:
    place = machine.home
    if place.problem:
        return _finding("home", Level.FAIL, place.problem, f"mkdir -p {place.path}; or choose another one with --home")
    if place.network:
        fix = "put the home on a local disk, or the ledger into PostgreSQL (storage.database_url)"
        return _finding("home", Level.FAIL, f"{place.path} is on {place.network}, where SQLite loses data", fix)
    if not place.is_ours:
        return _finding("home", Level.FAIL, f"{place.path} is another user's", f"sudo chown -R $USER {place.path}")
    return _permissions(place)


def _permissions(place: Place) -> Finding:
    fix = f"chmod 700 {place.path}"
    if place.mode is None:
        return _finding("home", Level.OK, f"{place.path} will be made")
    if place.mode & OTHERS_WRITE:
        return _finding("home", Level.FAIL, f"others may write into {place.path}, and so halt or fake trading", fix)
    if place.mode & OTHERS:
        return _finding("home", Level.WARN, f"others on this machine may read {place.path}", fix)
    return _finding("home", Level.OK, f"{place.path}, only its owner may enter")


def umask(machine: Machine, _rules: HealthRules) -> Finding:
    level = Level.FAIL if not machine.umask & stat.S_IWOTH else Level.OK
    if level is Level.OK and machine.umask & OTHERS != OTHERS:
        level = Level.WARN
    says = f"{machine.umask:04o}: new files of commands are " + ("private" if level is Level.OK else "open to others")
    return _finding("umask", level, says, "umask 077 in the shell's profile; `up` sets it for all it starts")


def disk(machine: Machine, rules: HealthRules) -> Finding:
    if machine.free_bytes is None:
        return _finding("disk", Level.WARN, "free space is not known", "look with: df -h")
    free, (warn, fail) = machine.free_bytes / 1e9, rules.disk_free_gigabytes
    level = Level.FAIL if free < fail else Level.WARN if free < warn else Level.OK
    return _finding("disk", level, f"{free:,.1f} GB free for the home", f"free some: at least {warn:g} GB")


def memory(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.memory_bytes is None:
        return _finding("memory", Level.OK, "not known")
    level = Level.OK if machine.memory_bytes >= LEAST_MEMORY else Level.WARN
    says = f"{machine.memory_bytes / 1e9:.1f} GB"
    return _finding("memory", level, says, "2 GB are needed for UI, daemon and session loop together")


def open_files(machine: Machine, _rules: HealthRules) -> Finding:
    level = Level.OK if machine.open_files >= LEAST_FILES else Level.WARN
    says = f"{machine.open_files} may be open at a time"
    return _finding("open files", level, says, f"ulimit -n {LEAST_FILES}, or LimitNOFILE= of the service")


def ports(machine: Machine, _rules: HealthRules) -> Finding:
    taken = [port for port in machine.ports if port.user and not port.is_ours]
    if taken:
        says = "; ".join(f"port {port.number} ({port.what}) is in use{port.user}" for port in taken)
        fix = "stop that, or: trading-pipeline up " + " ".join(f"{port.option} PORT" for port in taken)
        return _finding("ports", Level.FAIL, says, fix)
    how = "kept by this home's `up`" if any(port.is_ours for port in machine.ports) else "free"
    return _finding("ports", Level.OK, f"{', '.join(str(port.number) for port in machine.ports)} {how}")


def database(machine: Machine, _rules: HealthRules) -> Finding:
    found = machine.database
    if found.problem:
        fix = "start the database, or correct storage.database_url (see it: trading-pipeline config show)"
        return _finding("database", Level.FAIL, found.problem, fix)
    if found.version is None:
        return _finding("database", Level.OK, f"{found.place}: empty; tables are made at the first command")
    says = f"{found.place}: tables are of version {found.version}, this code's of {found.newest}"
    if found.version > found.newest:
        return _finding("database", Level.FAIL, says, "install the newer release that wrote it")
    if found.version < found.newest:
        return _finding("database", Level.WARN, says, "trading-pipeline db upgrade; the next command does it too")
    return _finding("database", Level.OK, f"{found.place}, version {found.version}")


def latch(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.latch_problem:
        return _finding("latch", Level.FAIL, machine.latch_problem, "as the message says; until then no entry leaves")
    if machine.latched:
        fix = "trading-pipeline breaker show tells why; trading-pipeline resume --reason TEXT --operator NAME lifts it"
        return _finding("latch", Level.WARN, f"trading is stopped: {machine.latched}", fix)
    return _finding("latch", Level.OK, "none: entries may leave")


def audit(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.audit_problem:
        return _finding("audit", Level.FAIL, machine.audit_problem, "look at it: trading-pipeline audit verify")
    if machine.relay_lacks:
        says = f"{machine.audit or 'no checkpoint yet'}; {machine.relay_lacks} entries wait and nobody numbers them"
        return _finding("audit", Level.WARN, says, "start it: trading-pipeline relay run (`up` runs it too)")
    return _finding("audit", Level.OK, machine.audit or "no entry yet")


def calendar(machine: Machine, _rules: HealthRules) -> Finding:
    fix = "update exchange-calendars: make install with a newer lock file"
    if machine.calendar_problem or machine.last_session is None:
        return _finding("calendar", Level.FAIL, machine.calendar_problem or f"{machine.calendar} is empty", fix)
    left = machine.last_session - machine.clock.now.date()
    level = Level.FAIL if left < timedelta(0) else Level.WARN if left < timedelta(days=30) else Level.OK
    says = f"{machine.calendar}, known to {machine.last_session}; today: {machine.today}"
    return _finding("calendar", level, says, fix)


def zones(machine: Machine, _rules: HealthRules) -> Finding:
    hours = machine.clock.new_york_hours
    fix = "install the system's tzdata package, or: .uv/bin/uv pip install tzdata"
    if hours != NEW_YORK_HOURS:
        says = "no zone America/New_York" if hours is None else f"New York is at UTC{hours[0]:+g} and UTC{hours[1]:+g}"
        return _finding("time zones", Level.FAIL, says, fix)
    return _finding(
        "time zones", Level.OK, f"known; the machine is in {machine.clock.host_zone}, which changes nothing"
    )


def clock(machine: Machine, rules: HealthRules) -> Finding:
    found, fix = machine.clock, "sudo timedatectl set-ntp true; compare: date -u"
    shows = f"{found.now:%Y-%m-%d %H:%M:%S} UTC"
    if found.changed_at is not None and found.now < found.changed_at:
        says = f"shows {shows}, before this code was written ({found.changed_at:%Y-%m-%d %H:%M} UTC): it is wrong"
        return _finding("clock", Level.FAIL, says, fix)
    if machine.database.ahead_by_seconds > FAR_AHEAD:
        says = (
            f"shows {shows}, and the ledger has a row {_amount(machine.database.ahead_by_seconds)} later: it is behind"
        )
        return _finding("clock", Level.FAIL, f"{says}, or was set to local time as UTC", fix)
    return _skew(machine, rules, shows, fix)


def _skew(machine: Machine, rules: HealthRules, shows: str, fix: str) -> Finding:
    found = machine.clock
    if found.venue_ahead_seconds is not None:
        level = rated(abs(found.venue_ahead_seconds), rules.clock_skew_seconds)
        return _finding("clock", level, f"{shows}; the broker's is {found.venue_ahead_seconds:+.2f} s ahead", fix)
    if found.venue_problem:
        return _finding("clock", Level.WARN, f"{shows}; the broker was not asked: {found.venue_problem}", fix)
    if found.synchronized is False:
        return _finding("clock", Level.WARN, f"{shows}; it follows no time server", fix)
    follows = "follows a time server" if found.synchronized else "whether it follows a time server is not known here"
    return _finding("clock", Level.OK, f"{shows}; it {follows}" if found.synchronized else f"{shows}; {follows}")


def service(machine: Machine, _rules: HealthRules) -> Finding:
    if machine.processes:
        return _finding("service", Level.OK, f"up: {', '.join(machine.processes)}")
    if machine.is_container:
        return _finding("service", Level.OK, "in a container: its engine starts it again (docs/containers.md)")
    if machine.has_systemd and not machine.has_unit:
        fix = "trading-pipeline service print says how"
        return _finding("service", Level.WARN, "not up, and nothing starts it when the machine starts", fix)
    how = "systemd starts it" if machine.has_unit else "no systemd here: start `up` by your own means"
    return _finding("service", Level.OK, f"not up; {how}")


def _amount(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"


CHECKS: tuple[Callable[[Machine, HealthRules], Finding], ...] = (
    python, packages, ib_client, settings, keys, env_file, home, umask, disk, memory, open_files, ports, database,
    latch, audit, calendar, zones, clock, service,
)  # fmt: skip
