"""What there is to know of a machine before anything is entrusted to it. Gathered elsewhere; judged by the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or folder. mode: its permission bits; None when it is not there. network: the kind of network disk it is
    on, or empty. problem: why it cannot be used, in words."""

    path: Path
    mode: int | None = None
    is_ours: bool = True
    network: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the loopback interface. user: who has it, in words; empty when it is free. option: of another one."""

    number: int
    what: str
    option: str
    user: str = ""
    is_ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The ledger's database. version: of its tables, None while it is empty. ahead_by_seconds: how far the newest
    instant it holds is in the future. problem: why it cannot be reached."""

    place: str
    newest: str
    version: str | None = None
    ahead_by_seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """The machine's clock. synchronized: whether the system says it follows a time server; None: it does not tell.
    venue_ahead_seconds: by how much the broker's clock is ahead, None when nobody was asked. changed_at: when the
    code was last changed; a clock that shows less is wrong. new_york_hours: offset from UTC on a winter's day and on a
    summer's."""

    now: datetime
    host_zone: str
    changed_at: datetime | None = None
    synchronized: bool | None = None
    venue_ahead_seconds: float | None = None
    venue_problem: str = ""
    new_york_hours: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything the doctor looks at. relay_lacks: entries of the audit log that wait while no relay lives."""

    python: tuple[int, int]
    versions: Mapping[str, str]
    unmet: tuple[str, ...]
    settings_problem: str = ""
    broker: str = "simulated"
    missing_keys: tuple[str, ...] = ()
    env_file: Place | None = None
    env_file_repository: str = ""
    home: Place
    free_bytes: int | None
    umask: int
    open_files: int
    ports: tuple[Port, ...]
    database: Database
    latch_problem: str = ""
    latched: str = ""
    audit: str = ""
    audit_problem: str = ""
    relay_lacks: int = 0
    calendar: str = ""
    last_session: date | None = None
    today: str = ""
    calendar_problem: str = ""
    clock: ClockFacts
    memory_bytes: int | None = None
    is_container: bool = False
    has_systemd: bool = False
    has_unit: bool = False
    processes: tuple[str, ...] = field(default=())
