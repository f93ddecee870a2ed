"""Modes and operators of a workspace, put together."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.passwords import Argon2Passwords
from trading_pipeline.domain.approvals import Refusal
from trading_pipeline.domain.errors import AuditKeyError, ModeRefused
from trading_pipeline.services.audit.custody import key_state
from trading_pipeline.services.modes.approvals import ModeDesk
from trading_pipeline.services.modes.operators import Operators
from trading_pipeline.services.modes.recovery import RECOVER, Owner
from trading_pipeline.services.modes.transitions import Ground
from trading_pipeline.settings import approval_hash

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings
    from trading_pipeline.wiring.workspace import Workspace


def ground_of(settings: Settings) -> Ground:
    """The configuration that modes are asked for and held under."""
    rules = settings.execution
    return Ground(
        account=rules.account, config_hash=approval_hash(settings), limits=rules.risk, rules=settings.modes,
        digest=settings.digest(),
    )  # fmt: skip


def operators_of(workspace: Workspace) -> Operators:
    """The operators of the workspace's ledger, by the machine's clock."""
    return Operators(
        ledger=workspace.ledger, passwords=Argon2Passwords(), rules=workspace.settings.modes, clock=SystemClock(),
        local_user=getpass.getuser(),
    )  # fmt: skip


def mode_desk(workspace: Workspace) -> ModeDesk:
    """Modes of the workspace's account."""
    from trading_pipeline.wiring.permission import ledger_fault  # it needs workspaces, and they need this

    return ModeDesk(
        ledger=workspace.ledger, operators=operators_of(workspace), ground=ground_of(workspace.settings),
        clock=SystemClock(), latch=workspace.latch, breaker=workspace.settings.execution.breaker,
        ledger_fault=lambda: ledger_fault(workspace),
    )  # fmt: skip


def owner_of(workspace: Workspace, name: str) -> Owner:
    """This process, when its user owns the home and has the audit key that signs; raises ModeRefused, audited, else.

    name: of the operator who is to be recovered.
    """
    key_id, wrong = _key_of(workspace)
    if workspace.home.stat().st_uid != os.geteuid():
        wrong = f"{workspace.home} belongs to another user of this machine"
    if wrong:
        people = operators_of(workspace)
        refused = ModeRefused(Refusal.NOT_OWNER, f"not recovered: {wrong}")
        people.refuse(f"local:{people.local_user}", f"{RECOVER} {name}", refused)
    return Owner(account=workspace.settings.execution.account, key_id=key_id)


def _key_of(workspace: Workspace) -> tuple[str, str]:
    """The id of the audit key that signs, and what is wrong with it."""
    from trading_pipeline.wiring.audit import audit_desk  # it needs workspaces, and they need this

    try:
        state = key_state(audit_desk(workspace))
    except AuditKeyError as error:
        return "", str(error)
    if not state.is_right:
        advice = "put it back" if state.expected else "it is made by: trading-pipeline relay run --once"
        return "", f"the audit key is not in {workspace.home}: {advice}"
    return state.key_id, ""
