"""What a home knows of the conditions under which it may trade at a broker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import is_signed_by
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.errors import AuditError, InputError, SettingsError, TradingPipelineError
from trading_pipeline.services.audit.people import PeopleWatch
from trading_pipeline.services.audit.verify import Means, verify_log
from trading_pipeline.services.modes.permission import Permission, Seen
from trading_pipeline.services.modes.vouching import OF_MODES, Told, way_out
from trading_pipeline.settings import approval_hash
from trading_pipeline.wiring.brokers import require_addresses

if TYPE_CHECKING:
    from trading_pipeline.wiring.workspace import Workspace

log = logging.getLogger(__name__)
PATIENCE, LOOK = timedelta(seconds=5), timedelta(milliseconds=100)
"""How long a live start waits for the relay, and how often it looks."""


def permission_of(workspace: Workspace) -> Permission:
    """The home's, asked anew each time."""
    settings = workspace.settings
    return Permission(
        ledger=workspace.ledger, rules=settings.execution, config_hash=approval_hash(settings),
        pinned=settings.broker.account_id, key_faults=lambda: _key_faults(workspace),
        channels=_channels(workspace), idle=lambda: _idle(workspace),
        audit_fault=lambda: (_audit_fault if settings.execution.mode == "live" else _mode_fault)(workspace),
        modes=settings.modes, catch_up=lambda: _catch_up(workspace),
    )  # fmt: skip


def broker_look(workspace: Workspace) -> Seen:
    """Ask the configured broker who we are there, and hang up. Raises what connecting raises."""
    with closing(workspace.access()) as access:
        line = access.line(SystemClock(), None)
        return Seen(line.account_id, line.broker.account().equity_usd)


def _key_faults(workspace: Workspace) -> Sequence[str]:
    try:
        require_addresses(workspace.settings)
    except (InputError, SettingsError) as error:
        return (str(error),)
    return ()


def _channels(workspace: Workspace) -> int:
    """Ways to tell people. Only where money is at stake are the addresses looked at, which takes a second."""
    from trading_pipeline.wiring.alerts import usable_channels  # it needs workspaces, and they need this

    settings = workspace.settings
    return usable_channels(settings) if settings.execution.mode == "live" else len(settings.alerts.in_order())


def _idle(workspace: Workspace) -> Sequence[str]:
    from trading_pipeline.wiring.relay import idle_posts  # it needs workspaces, and they need this

    return idle_posts(workspace, SystemClock().now())


def _catch_up(workspace: Workspace) -> None:
    """Where a relay numbers the log, wait some seconds until it has signed what waits; told, and never an error."""
    from trading_pipeline.wiring.relay import leaders

    clock = SystemClock()
    until = clock.now() + PATIENCE
    is_told = False
    while (late := _late(workspace)) and clock.now() < until and leaders(workspace, clock.now())["audit"] is not None:
        if not is_told:
            log.info("%s: waiting for the relay, %.0f s at most", late, PATIENCE.total_seconds())
        is_told = True
        clock.sleep_until(clock.now() + LOOK)


def _late(workspace: Workspace) -> str:
    """What the audit log has not taken or never signed yet, in words; empty where nothing waits."""
    with workspace.ledger.read() as tx:
        is_signed, waiting = tx.newest_checkpoint() is not None, tx.waiting().entries
    waits = f"{waiting} audit entries wait for their number"
    if not is_signed:
        return f"nothing of the audit log is signed yet, and {waits}"
    return waits if waiting else ""


def _mode_fault(workspace: Workspace) -> str:
    """What of the account's mode no audit entry tells of. Milliseconds: the log itself is not verified."""
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        unsaid = Told.read(tx, OF_MODES).of_standing(tx, account)
    return _differs(account, unsaid) or ledger_fault(workspace)


def ledger_fault(workspace: Workspace) -> str:
    """In words, when this ledger does not have the entry that was anchored last: it is another home's, or an older one.

    One line of a file and one row are looked at.
    """
    from trading_pipeline.wiring.audit import anchor_path

    try:
        anchored = JsonLinesAnchors(anchor_path(workspace)).newest()
    except AuditError as error:
        return str(error)
    if anchored is None:
        return ""
    said = anchored.checkpoint
    with workspace.ledger.read() as tx:
        log_id = tx.log_id()
        last = next(iter(tx.logged(after=said.seq - 1, limit=1)), None) if said.seq else None
    here = (log_id, last.seq, last.head) if last else (log_id, 0, said.head)
    if here == (said.log_id, said.seq, said.head):
        return ""
    return (
        "this ledger is another one, or an older one, than its anchor file knows: "
        f"entry {said.seq} of log {said.log_id} is not in it"
    )


def _differs(account: str, unsaid: Sequence[str]) -> str:
    words = f"the account's mode is not what the log says of it: {'; '.join(unsaid)}. {way_out(account)}"
    return words if unsaid else ""


def _audit_fault(workspace: Workspace) -> str:
    """What is wrong with the audit log; an empty one has nothing that could be right."""
    from trading_pipeline.wiring.audit import anchor_path, key_folder

    means = Means(
        verify=is_signed_by, keys=key_folder(workspace), anchors=JsonLinesAnchors(anchor_path(workspace))
    )  # fmt: skip
    watch = PeopleWatch()
    try:
        with workspace.ledger.read() as tx:
            verdict = verify_log(tx, means, watch=watch)
            unsaid = watch.standing(tx, workspace.settings.execution.account)
        is_signed = means.keys.present() is not None
    except TradingPipelineError as error:
        return str(error)
    if verdict.damage is not None:
        return verdict.damage.words
    if unsaid and verdict.checkpoints:
        return _differs(workspace.settings.execution.account, unsaid)
    if verdict.checkpoints and not is_signed:
        return "its signing key is not here, so that nothing more of it is signed: see docs/audit.md, a lost key"
    if not verdict.checkpoints:
        return f"{_late(workspace)}: trading-pipeline relay run --once, or leave a relay running (up does)"
    return ""
