"""This machine, looked at: packages, files, ports, limits, clock. Changes nothing."""

from __future__ import annotations

import os
import re
import resource
import shutil
import stat
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psutil
from packaging.requirements import Requirement

from trading_pipeline.adapters.sockets import LOOPBACK, is_free, user_of
from trading_pipeline.domain.machine import Place, Port

PROJECT = "trading-pipeline"
NETWORK_DISKS = re.compile(r"nfs|cifs|smb|sshfs|9p|fuse\.(?!ext)|afs|ceph|gluster|lustre", re.IGNORECASE)
UNIT = "trading-pipeline.service"
HOUR = timedelta(hours=1)
WINTER, SUMMER = datetime(2025, 1, 15, 12, tzinfo=UTC), datetime(2025, 7, 15, 12, tzinfo=UTC)


def installed() -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Versions of what the project needs and of both IB clients, where installed; and what is not as required."""
    versions, unmet = dict[str, str](), list[str]()
    for requirement in map(Requirement, metadata.requires(PROJECT) or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None:
            unmet.append(f"{requirement.name} is missing")
            continue
        versions[requirement.name] = found
        if not requirement.specifier.contains(found, prereleases=True):
            unmet.append(f"{requirement.name} {found}, needed {requirement.specifier}")
    versions |= {name: found for name in ("ib_insync", "ib_async") if (found := _version(name)) is not None}
    return versions, tuple(unmet)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def look_at_folder(path: Path) -> Place:
    """A folder that is there, or that could be made; problem: why neither."""
    at = next(one for one in (path, *path.parents) if one.exists())
    network = _network_disk(at)
    if not at.is_dir():
        return Place(path=path, problem=f"{at} is a file, not a folder", network=network)
    if not os.access(at, os.W_OK | os.X_OK):
        return Place(path=path, problem=f"{at} may not be written by this user", network=network)
    if at != path:
        return Place(path=path, network=network)
    found = path.stat()
    return Place(path=path, mode=stat.S_IMODE(found.st_mode), is_ours=found.st_uid == os.geteuid(), network=network)


def _network_disk(path: Path) -> str:
    """The kind of network disk the path is on; empty for a local one."""
    mounts = [one for one in psutil.disk_partitions(all=True) if path.is_relative_to(one.mountpoint)]
    nearest = max(mounts, key=lambda one: len(one.mountpoint), default=None)
    return str(nearest.fstype) if nearest is not None and NETWORK_DISKS.search(nearest.fstype) else ""


def repository_of(path: Path) -> str:
    """The folder of the git repository the path lies in; empty when in none."""
    return next((str(folder) for folder in path.resolve().parents if (folder / ".git").exists()), "")


def look_at_port(number: int, what: str, option: str, ours: frozenset[int]) -> Port:
    """ours: ports that this home's own processes hold."""
    user = "" if is_free(number) else user_of(number) or f" on {LOOPBACK}"
    return Port(number=number, what=what, option=option, user=user, is_ours=number in ours)


def free_bytes(path: Path) -> int | None:
    """Where the path is, or would be."""
    try:
        return shutil.disk_usage(next(one for one in (path, *path.parents) if one.exists())).free
    except OSError:
        return None


def limits() -> tuple[int, int, int]:
    """The mask of new files, how many files may be open, bytes of memory."""
    umask = os.umask(0o077)
    os.umask(umask)
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return umask, open_files if open_files != resource.RLIM_INFINITY else 2**31, int(psutil.virtual_memory().total)


def is_synchronized() -> bool | None:
    """Whether the system says that its clock follows a time server; None where it does not tell."""
    command = shutil.which("timedatectl")
    if command is None:
        return None
    try:
        asked = [command, "show", "--property=NTPSynchronized", "--value"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(said.strip())


def host_zone(now: datetime) -> str:
    """As the system names it."""
    return os.environ.get("TZ") or str(now.astimezone().tzname())


def new_york_hours() -> tuple[float, float] | None:
    """New York's hours from UTC in winter and in summer; None without time zone data."""
    try:
        zone = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return None
    winter, summer = (
        (one.astimezone(zone).utcoffset() or timedelta()).total_seconds() / 3600 for one in (WINTER, SUMMER)
    )
    return winter, summer


def code_changed_at(root: Path) -> datetime | None:
    """When the newest file of the code was written; None when none is found."""
    times = [path.stat().st_mtime for path in root.rglob("*.py")]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def is_container() -> bool:
    """True inside Docker, Podman or Kubernetes."""
    return any(Path(one).exists() for one in ("/.dockerenv", "/run/.containerenv")) or "container" in os.environ


def systemd() -> tuple[bool, bool]:
    """Whether systemd runs this machine, and whether it has the pipeline's unit."""
    folders = (Path("/etc/systemd/system"), Path("~/.config/systemd/user").expanduser())
    return Path("/run/systemd/system").exists(), any((folder / UNIT).exists() for folder in folders)
