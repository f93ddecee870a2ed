"""Ports and unix sockets of this machine: whether they are free, and where a socket may stand."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

import psutil

from trading_pipeline.domain.errors import InputError

LOOPBACK = "127.0.0.1"
LONGEST_SOCKET_PATH = 100
"""Bytes; the system takes 107 (Linux) or 103 (macOS)."""
PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
"""Paths that mean the same when read as a URI."""


def is_free(port: int) -> bool:
    """True when a server may listen on the port of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(port: int, option: str) -> None:
    """Raise InputError naming who has the port, and one that is free; option: how another one is chosen."""
    if is_free(port):
        return
    other = next((one for one in range(port + 1, min(port + 200, 65_536)) if is_free(one)), None)
    instead = f" {option} {other}" if other else f" {option} PORT"
    raise InputError(
        f"port {port} on {LOOPBACK} is in use{user_of(port)}. Nothing was started. Free it, or use another:{instead}"
    )


def short_socket(home: Path, folder: Path, name: str) -> Path:
    """Where a unix socket of this home stands: in `folder`, or, when that path is too long or has characters that
    clients read otherwise, in a folder of its own among the temporary files, which only this user may enter."""
    path = folder / name
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and PLAIN.fullmatch(str(path)):
        return path
    number = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"trading-pipeline-{os.getuid()}-{number}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError(f"{private} is not a folder of this user alone: remove it, or set TMPDIR to a private folder.")
    return private / name


def user_of(port: int) -> str:
    """Who listens, in words; empty where the system does not tell."""
    try:
        found = [one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid]
        return f" by process {found[0]} ({psutil.Process(found[0]).name()})" if found else ""
    except (psutil.Error, OSError):
        return ""
