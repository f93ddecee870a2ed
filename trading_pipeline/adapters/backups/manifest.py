"""What a backup says of itself, where backups are, and which are old enough to go."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from trading_pipeline.domain.errors import DataFileError, InputError

MANIFEST, LEDGER = "manifest.json", "ledger.sqlite3"
NAME = "%Y%m%dT%H%M%SZ"
LATEST = "latest"


class Manifest(BaseModel):
    """Written last: a backup without it is not whole. counts: rows per table of the ledger. files: SHA-256 by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_at: AwareDatetime
    source: str
    revision: str
    code_version: str
    counts: dict[str, int]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its folder's name: the instant."""
        return self.folder.name

    @property
    def ledger(self) -> Path:
        """The ledger in it."""
        return self.folder / LEDGER

    def require_whole(self) -> None:
        """Raise DataFileError unless every file is there as it was written."""
        for name, digest in self.manifest.files.items():
            path = self.folder / name
            if not path.exists() or sha256_of(path) != digest:
                raise DataFileError(
                    f"the backup {self.folder} is damaged: {name} is {'changed' if path.exists() else 'missing'}. "
                    "Nothing was restored. Take another one: trading-pipeline db list"
                )


def folder_of(root: Path, at: datetime) -> Path:
    """Where a backup of that instant is."""
    return root / at.strftime(NAME)


def next_free(root: Path, at: datetime) -> datetime:
    """That instant, or the first after it, in whole seconds, that no backup is named after: none is overwritten."""
    while folder_of(root, at).exists():
        at += timedelta(seconds=1)
    return at


def read_backup(folder: Path) -> Backup:
    """Raises DataFileError when it has no manifest, or one that cannot be read."""
    path = folder / MANIFEST
    try:
        return Backup(folder, Manifest.model_validate_json(path.read_text(encoding="utf-8")))
    except (OSError, ValidationError) as error:
        raise DataFileError(
            f"{folder} is no whole backup ({type(error).__name__} in {MANIFEST}). See those that are: "
            "trading-pipeline db list"
        ) from error


def whole_backups(root: Path) -> Sequence[Backup]:
    """Those with a manifest that can be read, oldest first; what else lies there is left alone."""
    found = []
    for path in sorted(root.glob(f"*/{MANIFEST}")):
        try:
            found.append(read_backup(path.parent))
        except DataFileError:
            continue
    return sorted(found, key=lambda one: one.manifest.made_at)


def chosen_backup(root: Path, name: str) -> Backup:
    """The one of that name, or folder; `latest`: the newest. Raises InputError when there is none."""
    if name != LATEST:
        return read_backup(root / name if not Path(name).is_absolute() else Path(name))
    found = whole_backups(root)
    if not found:
        raise InputError(f"there is no backup in {root}. Make one: trading-pipeline db backup")
    return found[-1]


def remove_old(root: Path, now: datetime, *, keep_hours: int, keep_days: int) -> Sequence[str]:
    """Remove backups that are neither young enough nor the newest of a day that is; names of the removed.

    The newest of all stays whatever its age.
    """
    found = whole_backups(root)
    newest_of = dict[date, Backup]()
    for one in found:
        newest_of[one.manifest.made_at.date()] = one
    kept = {one.name for one in newest_of.values() if now - one.manifest.made_at <= timedelta(days=keep_days)}
    kept |= {one.name for one in found if now - one.manifest.made_at <= timedelta(hours=keep_hours)}
    kept |= {one.name for one in found[-1:]}
    gone = [one for one in found if one.name not in kept]
    for one in gone:
        (one.folder / MANIFEST).unlink()  # first: half of a backup is none
        shutil.rmtree(one.folder)
    return [one.name for one in gone]


def sha256_of(path: Path) -> str:
    """Of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
