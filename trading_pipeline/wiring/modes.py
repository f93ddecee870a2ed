"""Modes and operators of a workspace, put together."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.passwords import Argon2Passwords
from trading_pipeline.services.modes.approvals import ModeDesk
from trading_pipeline.services.modes.operators import Operators
from trading_pipeline.services.modes.transitions import Ground
from trading_pipeline.settings import approval_hash

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings
    from trading_pipeline.wiring.workspace import Workspace


def ground_of(settings: Settings) -> Ground:
    """The configuration that modes are asked for and held under."""
    rules = settings.execution
    return Ground(account=rules.account, config_hash=approval_hash(settings), limits=rules.risk, rules=settings.modes)


def operators_of(workspace: Workspace) -> Operators:
    """The operators of the workspace's ledger, by the machine's clock."""
    return Operators(
        ledger=workspace.ledger, passwords=Argon2Passwords(), rules=workspace.settings.modes, clock=SystemClock(),
        local_user=getpass.getuser(),
    )  # fmt: skip


def mode_desk(workspace: Workspace) -> ModeDesk:
    """Modes of the workspace's account."""
    return ModeDesk(
        ledger=workspace.ledger, operators=operators_of(workspace), ground=ground_of(workspace.settings),
        clock=SystemClock(), latch=workspace.latch, breaker=workspace.settings.execution.breaker,
    )  # fmt: skip
