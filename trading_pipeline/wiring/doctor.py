"""Everything the doctor looks at, gathered. Nothing is made or changed: no folder, no table, no order."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

from trading_pipeline.adapters import machine as seen
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.latch_file import FileLatch
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.ledger_engine import ledger_address, ledger_engine
from trading_pipeline.adapters.ledger_errors import place_of
from trading_pipeline.adapters.migrations import NEWEST, schema_version
from trading_pipeline.adapters.processes import read_up
from trading_pipeline.domain.errors import AuditError, LatchError, LedgerError, SettingsError, TradingPipelineError
from trading_pipeline.domain.machine import ClockFacts, Database, Machine, Place
from trading_pipeline.domain.processes import UpState
from trading_pipeline.env_file import ENV_FILE_VARIABLE, read_env_file
from trading_pipeline.services.audit.custody import key_state, mismatch
from trading_pipeline.services.audit.standing import read_standing
from trading_pipeline.services.lease import lease_name
from trading_pipeline.services.preconditions import measure_skew
from trading_pipeline.settings import Settings, load_settings
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.workspace import Workspace

CODE = Path(__file__).resolve().parents[1]


def examine(
    home: Path, config: Path | None, profile: Path | None, ports: tuple[tuple[int, str, str], ...], *, ask_broker: bool
) -> tuple[Machine, Settings]:
    """The machine as seen from this process, and the settings it was looked at with: the shipped ones when its own
    cannot be used.

    ports: number, what for, and the option that takes another one. ask_broker: also ask the broker what time it is.
    """
    settings, problem = _settings(config, profile)
    up, wrong = _up(home)
    clock = SystemClock()
    database = _database(home, settings, clock)
    calendar = _calendar(settings, clock)
    versions, unmet = seen.installed()
    umask, open_files, memory = seen.limits()
    has_systemd, has_unit = seen.systemd()
    latched, latch_problem = _latch(home, settings)
    audit, audit_problem, relay_lacks = _audit(home, settings, clock, database)
    file = _env_file()
    return Machine(
        python=sys.version_info[:2], versions=versions, unmet=unmet, settings_problem=problem or wrong,
        broker=settings.broker.name, missing_keys=_missing_keys(settings), env_file=file,
        env_file_repository=seen.repository_of(file.path) if file else "", home=seen.look_at_folder(home),
        free_bytes=seen.free_bytes(home), umask=umask, open_files=open_files, memory_bytes=memory,
        ports=tuple(seen.look_at_port(*port, _ports_of(up)) for port in ports),
        database=database, latch_problem=latch_problem, latched=latched, calendar=settings.market.calendar,
        audit=audit, audit_problem=audit_problem, relay_lacks=relay_lacks,
        last_session=calendar[0], today=calendar[1], calendar_problem=calendar[2],
        clock=_clock(home, settings, clock, config, profile, ask_broker=ask_broker),
        is_container=seen.is_container(), has_systemd=has_systemd, has_unit=has_unit,
        processes=tuple(f"{one.name} {one.phase.value}" for one in up.processes) if up else (),
    ), settings  # fmt: skip


def _settings(config: Path | None, profile: Path | None) -> tuple[Settings, str]:
    try:
        return load_settings(config, profile=profile), ""
    except SettingsError as error:
        return Settings(), str(error)


def _up(home: Path) -> tuple[UpState | None, str]:
    try:
        return read_up(home), ""
    except TradingPipelineError as error:
        return None, str(error)


def _ports_of(up: UpState | None) -> frozenset[int]:
    return frozenset(up.ports if up else ())


def _env_file() -> Place | None:
    named = os.environ.get(ENV_FILE_VARIABLE)
    if not named:
        return None
    path = Path(named).expanduser()
    try:
        read_env_file(path)
    except SettingsError as error:
        return Place(path=path, problem=str(error))
    return Place(path=path)


def _missing_keys(settings: Settings) -> tuple[str, ...]:
    if settings.broker.name != "alpaca":
        return ()
    keys, of_live = settings.alpaca, "LIVE_" if settings.execution.mode == "live" else ""
    found = {f"{of_live}KEY_ID": keys.key_id, f"{of_live}SECRET_KEY": keys.secret_key}
    return tuple(
        f"TRADING_PIPELINE__BROKER__ALPACA__{name}" for name, key in found.items() if not key.get_secret_value().strip()
    )


def _database(home: Path, settings: Settings, clock: SystemClock) -> Database:
    url = settings.storage.database_url.get_secret_value() or default_url(home)
    place = "the database"
    try:
        address = ledger_address(url)
        place = place_of(address)
        if address.get_backend_name() == "sqlite" and not Path(str(address.database)).exists():
            return Database(place=place, newest=NEWEST)
        engine = ledger_engine(url, settings.storage.lock_wait_seconds)
        with engine.connect().execution_options(ledger_reading=True) as connection:
            version = schema_version(connection)
        engine.dispose()
        ahead = _ahead(url, settings, clock) if version == NEWEST else 0.0
    except LedgerError as error:
        return Database(place=place, newest=NEWEST, problem=str(error))
    return Database(place=place, newest=NEWEST, version=version, ahead_by_seconds=ahead)


def _ahead(url: str, settings: Settings, clock: SystemClock) -> float:
    """How far the last sign of life of a loop lies in the future."""
    with SqlLedger(url).read() as tx:
        lease = tx.lease(lease_name(settings.execution.account))
    return (lease.heartbeat_at - clock.now()).total_seconds() if lease else 0.0


def _latch(home: Path, settings: Settings) -> tuple[str, str]:
    try:
        trip = FileLatch(home, settings.execution.account).read()
    except LatchError as error:
        return "", str(error)
    return trip.cause.words if trip else "", ""


def _audit(home: Path, settings: Settings, clock: SystemClock, database: Database) -> tuple[str, str, int]:
    """How the audit log stands, what is wrong with it, and how many entries wait while no relay lives."""
    if database.problem or database.version != NEWEST:
        return "not looked at: see database", "", 0
    workspace = Workspace(home, settings)
    try:
        desk = audit_desk(workspace)
        found, key, standing = mismatch(desk), key_state(desk), read_standing(desk.ledger, clock.now())
    except (AuditError, LedgerError) as error:
        return "", str(error), 0
    finally:
        workspace.ledger.close()
    if found is not None and not found.accepted:
        return "", f"it does not continue what was anchored: {found.problem}", 0
    if standing.checkpoint and not key.is_right:
        return "", f"key {key.key_id or '(none)'} is not the one that the newest checkpoint wants", 0
    said = f"{standing.entries} entries, checkpoint {standing.checkpoint}" if standing.checkpoint else ""
    return said, "", 0 if standing.leader else standing.waiting


def _calendar(settings: Settings, clock: SystemClock) -> tuple[date | None, str, str]:
    """The last session it knows, today in words, and why it cannot be used."""
    calendar = ExchangeCalendar(settings.market.calendar)
    try:
        session = calendar.session_of(clock.now())
        times = calendar.times(session)
    except TradingPipelineError as error:
        return None, "", str(error)
    is_today = session == clock.now().astimezone(calendar.zone).date()
    opens, closes = (f"{one.astimezone(calendar.zone):%H:%M}" for one in (times.opens_at, times.closes_at))
    today = f"a session from {opens} to {closes}" if is_today else f"no session, the next is {session}"
    return calendar.last_session(), f"{today} ({calendar.zone.key})", ""


def _clock(
    home: Path, settings: Settings, clock: SystemClock, config: Path | None, profile: Path | None, *, ask_broker: bool
) -> ClockFacts:
    ahead, problem = None, ""
    if ask_broker:
        ahead, problem = _venue_clock(Workspace(home, settings, config=config, profile=profile), clock)
    return ClockFacts(
        now=clock.now(), host_zone=seen.host_zone(clock.now()), changed_at=seen.code_changed_at(CODE),
        synchronized=seen.is_synchronized(), venue_ahead_seconds=ahead, venue_problem=problem,
        new_york_hours=seen.new_york_hours(),
    )  # fmt: skip


def _venue_clock(workspace: Workspace, clock: SystemClock) -> tuple[float | None, str]:
    if workspace.settings.broker.name == "simulated":
        return None, "broker.name is simulated, which has no clock of its own"
    try:
        with closing(workspace.access()) as access:
            venue_now = access.line(workspace.clock, None).venue_now
            return (measure_skew(venue_now, clock).by.total_seconds(), "") if venue_now else (None, "it tells no time")
    except TradingPipelineError as error:
        return None, str(error)
