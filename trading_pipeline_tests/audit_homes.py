"""A home with an audit log in files, and what somebody with those files may do to it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import Sequencer
from trading_pipeline.services.audit.verify import Verdict
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import verify
from trading_pipeline_tests.audit_logs import told

RULES = AuditRules(checkpoint_entries=25)
ENTRIES = 120


@dataclass(frozen=True)
class AuditHome:
    """One home folder. Its log has a checkpoint every 25 entries, and at its ends."""

    home: Path

    @classmethod
    def made(cls, home: Path, entries: int = ENTRIES, log_id: str = "our-log") -> AuditHome:
        """A home whose outbox has so many rows, all numbered and signed."""
        made = cls(home)
        made.tell([told(number) for number in range(1, entries + 1)], log_id)
        return made

    @property
    def database(self) -> Path:
        return self.home / "ledger.sqlite3"

    @property
    def anchors(self) -> Path:
        return self.home / "audit" / "anchors.jsonl"

    @property
    def keys(self) -> Path:
        return self.home / "audit" / "keys"

    def open(self) -> Workspace:
        return open_workspace(self.home)

    def copied_to(self, folder: Path) -> AuditHome:
        """One that may be changed."""
        shutil.copytree(self.home, folder / "home")
        return AuditHome(folder / "home")

    def tell(self, entries: Sequence[AuditEntry], log_id: str = "our-log") -> None:
        """Write into the outbox, and let the sequencer number and sign it all."""
        workspace = self.open()
        with closing(workspace.ledger):
            with workspace.ledger.transaction() as tx:
                for entry in entries:
                    tx.add_audit(entry)
            self.sequence(audit_desk(workspace), log_id)

    def sequence(self, desk: AuditDesk, log_id: str = "our-log") -> None:
        """Number what waits, and sign it."""
        sequencer = Sequencer(desk, RULES, lambda: log_id)
        while not sequencer.step():
            pass
        sequencer.end()

    def change(self, *statements: str) -> None:
        """As somebody with the file: triggers dropped, and what they refused done."""
        with closing(sqlite3.connect(self.database)) as database:
            triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                database.execute(f'DROP TRIGGER "{name}"')
            for statement in statements:
                database.execute(statement)
            database.commit()

    def verdict(self, *kept: str) -> Verdict:
        """What the product says."""
        workspace = self.open()
        with closing(workspace.ledger):
            return verify(workspace, kept).verdict
