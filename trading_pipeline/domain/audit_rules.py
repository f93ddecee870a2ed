"""How the audit log is kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class AuditRules(BaseModel):
    """Checkpoints, batches and patience of the audit log. No decision depends on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    anchor_file: Path | None = Field(
        None,
        description="where each checkpoint is written down beside the database, best on another disk; null: "
        "audit/anchors.jsonl of the home",
    )
    checkpoint_entries: int = Field(1000, ge=1, le=100_000, description="a checkpoint after so many entries")
    checkpoint_seconds: float = Field(
        60.0, ge=1, le=3600, description="and this long after the first entry without one"
    )
    overdue_seconds: float = Field(
        300.0, ge=10, le=86_400, description="an entry without a checkpoint for longer is an alarm"
    )
    batch_entries: int = Field(200, ge=1, le=5000, description="most entries of one transaction: writers wait for it")
    poll_seconds: float = Field(0.5, ge=0.05, le=60, description="how often new entries are looked for")
