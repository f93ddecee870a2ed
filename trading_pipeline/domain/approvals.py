"""Who may approve a change of mode, what was asked for, and a person's word for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.risk_book import Mode

LONGEST_NAME = 32
NAME = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
LOOKS = str.maketrans({"0": "o", "1": "l", "i": "l", ".": "", "-": "", "_": ""})
"""What is easily taken for something else in a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A person who may ask and approve. failures: wrong passwords in a row, the last of them at last_failure_at."""

    name: str
    password_hash: str
    is_enabled: bool
    added_at: datetime
    added_by: str
    failures: int = 0
    last_failure_at: datetime | None = None

    def waits_until(self, attempts: int, wait: timedelta) -> datetime | None:
        """After so many wrong passwords in a row, when the next may be tried; None: now."""
        if self.failures < attempts or self.last_failure_at is None:
            return None
        return self.last_failure_at + wait


def operator_name(name: str) -> str:
    """The name as given; raises InputError for one that could be mistaken for another."""
    if not NAME.fullmatch(name) or not 2 <= len(name) <= LONGEST_NAME:
        raise InputError(
            f"{name!r} is no name for an operator: 2 to {LONGEST_NAME} of a-z and 0-9, a letter first; dot, dash and "
            "underline between them"
        )
    return name


def look_alike(name: str, others: Iterable[str]) -> str:
    """The first of the others that people might take for this name; empty when there is none."""
    return next((one for one in others if one.translate(LOOKS) == name.translate(LOOKS)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRequest:
    """What somebody asks for: a rung for an account, under a configuration, its limits and a gate report.

    approvers: how many distinct people have to approve. from_change: the change of mode the account stood on; once it
    stands on another one, and after expires_at, the request is void.
    """

    request_id: str
    account: str
    kind: ChangeKind
    mode: Mode
    step: int
    symbols: int | None
    requested_by: str
    reason: str
    requested_at: datetime
    expires_at: datetime
    approvers: int
    report_id: str
    from_change: str
    config_hash: str
    limits_hash: str

    @property
    def rung(self) -> Rung:
        """The rung asked for."""
        return Rung(self.mode, self.step, self.symbols)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's word for one request, with everything it is bound to; good once, until expires_at."""

    approval_id: str
    request_id: str
    operator: str
    reason: str
    approved_at: datetime
    expires_at: datetime
    account: str
    mode: Mode
    step: int
    symbols: int | None
    report_id: str
    config_hash: str
    limits_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalUse:
    """An approval was used up by a change of mode."""

    approval_id: str
    change_id: str
    used_at: datetime


class Refusal(StrEnum):
    """Why a request or an approval was refused; the names are kept in the audit log."""

    UNKNOWN_REQUEST = "unknown_request"
    GATE_FAILED = "gate_failed"
    WRONG_RUNG = "wrong_rung"
    MISSING_APPROVAL = "missing_approval"
    EXPIRED = "expired"
    REUSED = "reused"
    WRONG_ACCOUNT = "wrong_account"
    WRONG_CONFIGURATION = "wrong_configuration"
    WRONG_LIMITS = "wrong_limits"
    WRONG_REPORT = "wrong_report"
    WRONG_TARGET = "wrong_target"
    MODE_MOVED = "mode_moved"
    SAME_PERSON = "same_person"
    REQUESTER_APPROVES = "requester_approves"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105  a name of a refusal
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    DISABLED_OPERATOR = "disabled_operator"
    UNKNOWN_OPERATOR = "unknown_operator"
    WEAK_PASSWORD = "weak_password"  # noqa: S105
    NO_REASON = "no_reason"
    WRITTEN_BY_HAND = "written_by_hand"
    LAST_OPERATOR = "last_operator"
    NOT_OWNER = "not_owner"
