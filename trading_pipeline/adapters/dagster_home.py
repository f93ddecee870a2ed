"""The folder where Dagster keeps runs, events and schedules of a home; made without Dagster itself."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGSTER_HOME = "DAGSTER_HOME"


def prepare_dagster_home(home: Path) -> Path:
    """Make home/dagster with the project's dagster.yaml and point DAGSTER_HOME at it; returns the folder."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    target = folder / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != wanted:
        part = target.with_suffix(f".{os.getpid()}.part")
        part.write_text(wanted, encoding="utf-8")
        part.replace(target)
    os.environ[DAGSTER_HOME] = str(folder)
    return folder
