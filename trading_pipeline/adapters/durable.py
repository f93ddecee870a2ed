"""What must be on the disk before anything is said of it."""

from __future__ import annotations

import os
from pathlib import Path


def make_durable(path: Path) -> None:
    """Return once the file or folder is on the disk. Raises OSError when it cannot be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
