"""The relay of a home: who carries its outbox on, and whether anybody does."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import uuid4

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.control import Lease
from trading_pipeline.services.relay import Post, Relay
from trading_pipeline.wiring.alerts import AlertDesk
from trading_pipeline.wiring.audit import sequencer
from trading_pipeline.wiring.workspace import Workspace


def posts(workspace: Workspace) -> tuple[Post, ...]:
    """The relay's workers, in the order of a single pass: what one says the next one carries."""
    return (
        Post(name="audit", begin=partial(sequencer, workspace)),
        Post(name="alerts", begin=AlertDesk(workspace).deliverer),
    )


def relay(workspace: Workspace, names: Sequence[str] = ()) -> Relay:
    """Of this process. names: only these workers."""
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    wanted = [post for post in posts(workspace) if not names or post.name in names]
    return Relay(wanted, workspace.ledger, SystemClock(), holder)


def leaders(workspace: Workspace, now: datetime) -> dict[str, Lease | None]:
    """The live lease of each worker; None where nobody's relay leads."""
    with workspace.ledger.read() as tx:
        leases = {post.name: tx.lease(post.name) for post in posts(workspace)}
    return {name: lease if lease is not None and lease.is_live(now) else None for name, lease in leases.items()}


def idle_posts(workspace: Workspace, now: datetime) -> list[str]:
    """Workers that nobody's relay leads now, by their leases."""
    return [name for name, lease in leaders(workspace, now).items() if lease is None]


def pass_if_idle(workspace: Workspace) -> dict[str, str]:
    """One bounded pass of every worker that nobody leads: what became of each, "" where all went well."""
    names = idle_posts(workspace, SystemClock().now())
    return relay(workspace, names).run_once() if names else {}
