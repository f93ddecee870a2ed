"""What a home knows of the conditions under which it may trade at a broker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import is_signed_by
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.errors import InputError, SettingsError, TradingPipelineError
from trading_pipeline.services.audit.people import PeopleWatch
from trading_pipeline.services.audit.verify import Means, verify_log
from trading_pipeline.services.modes.permission import Permission, Seen
from trading_pipeline.settings import approval_hash
from trading_pipeline.wiring.brokers import require_addresses

if TYPE_CHECKING:
    from trading_pipeline.wiring.workspace import Workspace


def permission_of(workspace: Workspace) -> Permission:
    """The home's, asked anew each time."""
    settings = workspace.settings
    return Permission(
        ledger=workspace.ledger, rules=settings.execution, config_hash=approval_hash(settings),
        pinned=settings.broker.account_id, key_faults=lambda: _key_faults(workspace),
        channels=sum(one.enabled for one in settings.alerts.channels.values()), idle=lambda: _idle(workspace),
        audit_fault=lambda: _audit_fault(workspace), modes=settings.modes,
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


def _idle(workspace: Workspace) -> Sequence[str]:
    from trading_pipeline.wiring.relay import idle_posts  # it needs workspaces, and they need this

    return idle_posts(workspace, SystemClock().now())


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
        return f"the account's mode is not what the log says of it: {'; '.join(unsaid)}"
    if verdict.checkpoints and not is_signed:
        return "its signing key is not here, so that nothing more of it is signed: see docs/audit.md, a lost key"
    return "" if verdict.checkpoints else "nothing of it is signed yet: the relay has never run here"
