"""Backups of a home: made while it works, and put back while nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from trading_pipeline.adapters.backups.making import BESIDE, make_backup
from trading_pipeline.adapters.backups.manifest import Backup, chosen_backup, remove_old, whole_backups
from trading_pipeline.adapters.backups.restoring import (
    is_there,
    newest_token,
    raise_tokens,
    require_known,
    restore_ids,
    restore_ledger,
    restore_venue,
)
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.control import TradingState, strictest
from trading_pipeline.domain.errors import HomeInUseError, LeaseHeld, LedgerError
from trading_pipeline.ports import Clock
from trading_pipeline.services.flattening import wanted
from trading_pipeline.services.latch import OPEN
from trading_pipeline.services.lease import lease_name
from trading_pipeline.services.trading_state import current_state, set_trading_state
from trading_pipeline.wiring.workspace import Workspace

VENUE = "venue.sqlite3"
FLOOR_MARGIN = 100_000
"""Order ids that may have been used after a backup was made: more than IB takes messages in an hour."""
RESTORER = "db restore"


@dataclass(frozen=True, slots=True)
class Made:
    """A new backup, and the names of old ones that were removed."""

    backup: Backup
    removed: Sequence[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. aside: where the ledger before is kept, or what is left of it. told: what became of what lies
    beside it. was_there: False where there was no ledger to be kept. not_closed: whose word, in the backup, that all
    positions are to be closed is not carried out; empty where there was none.
    """

    backup: Backup
    aside: str
    was_there: bool
    told: Sequence[str]
    state: TradingState
    not_closed: str = ""


def backup_root(workspace: Workspace, folder: Path | None = None) -> Path:
    """Where backups are: as given, as set, else in the home."""
    return (folder or workspace.settings.storage.backup_folder or workspace.home / "backups").expanduser().resolve()


def backup(workspace: Workspace, folder: Path | None = None, clock: Clock | None = None) -> Made:
    """Back up the record and remove old backups; everything else goes on meanwhile.

    Raises InputError when there is nothing to back up, LedgerError, DataFileError when a copy is not sound,
    HomeInUseError when another one is being made.
    """
    storage, root, at = workspace.settings.storage, backup_root(workspace, folder), (clock or SystemClock()).now()
    with workspace.exclusive("backup"):
        made = make_backup(workspace.home, ledger_url(workspace), root, at, workspace.provenance.code_version)
        removed = remove_old(root, at, keep_hours=storage.backup_keep_hours, keep_days=storage.backup_keep_days)
    return Made(made, removed)


def backups(workspace: Workspace, folder: Path | None = None) -> Sequence[Backup]:
    """Those there are, oldest first."""
    return whole_backups(backup_root(workspace, folder))


def restore(workspace: Workspace, name: str, folder: Path | None = None, clock: Clock | None = None) -> Restored:
    """Put a backup in the place of the record. Entries stay held back until a person resumes them.

    Raises LeaseHeld or HomeInUseError while anything trades here, InputError when there is no such backup,
    DataFileError when it is damaged or not of this program's tables; nothing has changed then.
    """
    clock, url = clock or SystemClock(), ledger_url(workspace)
    chosen = chosen_backup(backup_root(workspace, folder), name)
    with workspace.exclusive("trading"), _venue_free(workspace.home), workspace.exclusive("backup"):
        _require_no_leader(workspace, url, clock)
        require_known(chosen)
        was_there = is_there(url)
        token, at = newest_token(url), clock.now()
        aside = restore_ledger(chosen, url, at)
        ledger = SqlLedger.open(url)  # brings an older backup up to date
        raise_tokens(url, token, at)
        told = [*_restored_beside(workspace, chosen, clock)]
        state, not_closed = _hold_back(workspace, ledger, chosen, clock)
        ledger.close()
    return Restored(chosen, aside, was_there and bool(aside), told, state, not_closed)


def ledger_url(workspace: Workspace) -> str:
    """Where the record is kept."""
    return workspace.settings.storage.database_url.get_secret_value() or default_url(workspace.home)


def _require_no_leader(workspace: Workspace, url: str, clock: Clock) -> None:
    """A ledger that is not there, or cannot be read, names no leader: on this machine the home's lock tells."""
    if not is_there(url):
        return
    present = SqlLedger(url)  # as it is: nothing is made or brought up to date
    try:
        with present.read() as tx:
            lease = tx.lease(lease_name(workspace.settings.execution.account))
    except LedgerError:
        return
    finally:
        present.close()
    if lease is not None and lease.is_live(clock.now()):
        raise LeaseHeld(
            f"{lease.holder} leads this account until {lease.expires_at:%H:%M:%S} UTC: nothing was restored. Stop it "
            "(trading-pipeline down, or end its process; stops stay at the venue), then restore again"
        )


@contextmanager
def _venue_free(home: Path) -> Iterator[None]:
    """A venue process of this home must not write while its file is changed."""
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "venue.lock").acquire(blocking=False):
            yield
    except Timeout as error:
        raise HomeInUseError(f"another process serves the venue of {home}. Stop it, then restore again") from error


def _restored_beside(workspace: Workspace, chosen: Backup, clock: Clock) -> Iterator[str]:
    at = clock.now()
    for name in BESIDE:
        if name == VENUE:
            yield restore_venue(chosen, workspace.home, name, at)
        elif (workspace.home / name).exists() or name in chosen.manifest.files:
            yield restore_ids(chosen, workspace.home, name, at, FLOOR_MARGIN)


def _hold_back(workspace: Workspace, ledger: SqlLedger, chosen: Backup, clock: Clock) -> tuple[TradingState, str]:
    """The record lacks what happened since: entries wait until a person has seen that it agrees with the venue.

    That positions are to be closed may have been done since, or taken back: a backup alone closes none. Returns the
    state, and whose word that was.
    """
    account, kept = workspace.settings.execution.account, workspace.latch.look().trip
    with ledger.read() as tx:
        state, row = current_state(tx, account), tx.trading_state(account)
        is_to_close = wanted(tx, OPEN, account, None) is not None
    if state is not TradingState.ACTIVE and (not is_to_close or (kept is not None and kept.cause.flattens)):
        return state, ""
    state = strictest(state, TradingState.REDUCING)
    reason = f"restored from the backup of {chosen.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC: reconcile, then resume"
    set_trading_state(ledger, account, state, reason=reason, operator=RESTORER, at=clock.now())
    if row is None or not is_to_close:
        return state, ""
    return state, f"{row.set_by}, {row.changed_at:%Y-%m-%d %H:%M:%S} UTC: {row.reason}"
