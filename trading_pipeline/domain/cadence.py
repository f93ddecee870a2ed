"""How often the session loop acts, and how long it leads."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CadenceRules(BaseModel):
    """The loop's rhythm between bars, on the real clock; on an accelerated one it acts at bar ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cycle_seconds: int = Field(5, ge=1, le=60, description="reports, protection, dispatch")


class LeaseRules(BaseModel):
    """The right to lead, by the real clock. A process that dies is followed after `lease_seconds` at most; one whose
    loop hangs, after `hang_seconds` more. Every wait for one answer must be shorter than that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease_seconds: int = Field(8, ge=1, le=120, description="how long a leader that says nothing still leads")
    renew_seconds: float = Field(2.0, ge=0.1, le=60, description="how often a leader says that it lives")
    margin_seconds: float = Field(1.0, ge=0, le=30, description="nothing is sent within this of the lease's end")
    hang_seconds: float = Field(
        90.0, ge=0.2, le=600, description="a loop without a sign of life for so long loses its lease"
    )

    @model_validator(mode="after")
    def _a_renewal_comes_in_time(self) -> Self:
        if self.renew_seconds + self.margin_seconds >= self.lease_seconds:
            raise ValueError(
                f"renew_seconds ({self.renew_seconds}) + margin_seconds ({self.margin_seconds}) must be less than "
                f"lease_seconds ({self.lease_seconds}): a healthy leader would lose its lease"
            )
        return self
