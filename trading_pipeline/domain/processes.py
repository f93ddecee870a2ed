"""The processes that together run the pipeline on one machine, and where each stands."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class ProcessPhase(StrEnum):
    """Where a supervised process stands."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """It ended unasked and is started again after a pause that grows with each try."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"
    """It should run and does not: it was killed, and so was what would start it again."""

    @property
    def is_well(self) -> bool:
        """True while it runs, or is about to."""
        return self in {ProcessPhase.STARTING, ProcessPhase.RUNNING}


class ProcessState(BaseModel):
    """One supervised process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    phase: ProcessPhase
    pid: int | None = Field(None, description="None while it does not run")
    since: AwareDatetime | None = Field(None, description="when it came into this phase")
    restarts: int = Field(0, ge=0, description="how often it was started again since `up`")
    last_end: str = Field("", description="how it last ended, in words; empty when it never did")
    log: str = Field("", description="file with what it said")


class UpState(BaseModel):
    """What `up` started: itself, where its pages are, and its processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    address: str
    ports: tuple[int, ...] = ()
    started_at: AwareDatetime
    ready_at: AwareDatetime | None = Field(None, description="when the UI first answered")
    processes: tuple[ProcessState, ...] = ()
