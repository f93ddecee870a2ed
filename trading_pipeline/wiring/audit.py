"""The audit log of a home: its tables, its keys, its anchors."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder, is_signed_by
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.control import Lease
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import Sequencer
from trading_pipeline.wiring.workspace import Workspace

FOLDER, KEYS, ANCHORS = "audit", "keys", "anchors.jsonl"


def key_folder(workspace: Workspace) -> KeyFolder:
    """Where the signing key and the public halves of all keys are."""
    return KeyFolder(workspace.home / FOLDER / KEYS)


def anchor_path(workspace: Workspace) -> Path:
    """Where checkpoints are written down beside the database."""
    return workspace.settings.audit.anchor_file or workspace.home / FOLDER / ANCHORS


def audit_desk(workspace: Workspace, lease: Lease | None = None) -> AuditDesk:
    """What the log is read and kept with. lease: of the sequencer, who alone may append."""
    ledger = workspace.ledger if lease is None else workspace.ledger.fenced(lease)
    return AuditDesk(
        ledger=ledger, keys=key_folder(workspace), verify=is_signed_by,
        anchors=JsonLinesAnchors(anchor_path(workspace)), clock=SystemClock(),
        account=workspace.settings.execution.account, session_of=workspace.calendar.session_of,
    )  # fmt: skip


def sequencer(workspace: Workspace, lease: Lease) -> Sequencer:
    """The log's one writer, for as long as the lease is held."""
    return Sequencer(audit_desk(workspace, lease), workspace.settings.audit, lambda: uuid4().hex[:16])
