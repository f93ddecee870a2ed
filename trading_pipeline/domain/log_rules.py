"""What is logged, where to, and how much of it is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["debug", "info", "warning", "error"]


class LogRules(BaseModel):
    """Logs of every process: lines for people on the terminal, JSON lines in the home's logs/."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level = Field("info", description="of what the pipeline itself tells, in the file")
    library_level: Level = Field("warning", description="of what brokers' clients, servers and other libraries tell")
    console_level: Level = Field("warning", description="on the terminal; the file has more")
    console: Literal["text", "json"] = Field("text", description="json: the terminal gets the file's lines")
    max_megabytes: int = Field(20, ge=1, le=1000, description="size at which the file is turned over")
    files: int = Field(10, ge=2, le=100, description="kept, the running one included")
