"""An audit log to try things on: a ledger, a key folder, an anchor file, and a clock that somebody moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder, is_signed_by
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.audit import (
    Frontier,
    LoggedEntry,
    SignedCheckpoint,
    first_head,
    leaf_of,
    next_head,
    read_body,
    signed_bytes,
)
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.control import Alert, AuditEntry
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import Sequencer

LOG_ID, ACCOUNT = "0123456789abcdef", "SIM"
START = datetime(2025, 3, 10, 14, 0, tzinfo=UTC)


def entry(subject: str, kind: str = "order_status", **data: str) -> AuditEntry:
    """Something that happened."""
    return AuditEntry(occurred_at=START, kind=kind, account=ACCOUNT, subject=subject, actor="us", data=data)


@dataclass(slots=True)
class AuditWorld:
    """One log and all it needs."""

    ledger: SqlLedger
    folder: Path
    rules: AuditRules = AuditRules(checkpoint_entries=5, batch_entries=3)  # noqa: RUF009  frozen
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))

    @property
    def anchors(self) -> JsonLinesAnchors:
        return JsonLinesAnchors(self.folder / "elsewhere" / "anchors.jsonl")

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.folder / "keys")

    @property
    def desk(self) -> AuditDesk:
        return AuditDesk(
            ledger=self.ledger, keys=self.keys, verify=is_signed_by, anchors=self.anchors, clock=self.clock,
            account=ACCOUNT, session_of=lambda instant: instant.date(),
        )  # fmt: skip

    def sequencer(self, desk: AuditDesk | None = None) -> Sequencer:
        """One that starts now."""
        return Sequencer(desk or self.desk, self.rules, lambda: LOG_ID)

    def tell(self, *entries: AuditEntry) -> None:
        """Write into the outbox, in one transaction."""
        with self.ledger.transaction() as tx:
            for one in entries:
                tx.add_audit(one)

    def tell_many(self, count: int, prefix: str = "e") -> None:
        """So many entries that only differ in their subject."""
        self.tell(*(entry(f"{prefix}{number}") for number in range(count)))

    def catch_up(self, sequencer: Sequencer | None = None) -> Sequencer:
        """Step until nothing is left to be done at once."""
        sequencer = sequencer or self.sequencer()
        while not sequencer.step():
            pass
        return sequencer

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep_until(self.clock.now() + timedelta(seconds=seconds))

    def log(self) -> Sequence[LoggedEntry]:
        """Every entry."""
        with self.ledger.read() as tx:
            return tx.logged(limit=1_000_000)

    def checkpoints(self) -> Sequence[SignedCheckpoint]:
        """Every checkpoint of the table."""
        with self.ledger.read() as tx:
            return tx.checkpoints(limit=1_000_000)

    def whys(self) -> list[str]:
        """What they were made for, with the entry they cover."""
        return [f"{one.checkpoint.why.value} {one.checkpoint.seq}" for one in self.checkpoints()]

    def alerts(self, kind: str) -> list[Alert]:
        """Alerts of a kind."""
        with self.ledger.read() as tx:
            return [alert for alert in tx.alerts(ACCOUNT) if alert.kind == kind]

    def subjects(self) -> list[str]:
        """What the log tells of, but for what it tells of itself."""
        return [one.subject for one in self.log() if one.kind != "alert"]


def require_whole(world: AuditWorld) -> None:
    """One gapless chain over exactly the outbox's rows, each once; every checkpoint is signed and true."""
    log = world.log()
    with world.ledger.read() as tx:
        rows = dict(tx.audit_entries(limit=1_000_000))
    assert [one.seq for one in log] == list(range(1, len(log) + 1))
    assert len({one.outbox_no for one in log}) == len(log)
    head, heads, roots, frontier = first_head(LOG_ID), [first_head(LOG_ID)], [Frontier().root()], Frontier()
    for one in log:
        said, row = read_body(one.body), rows[one.outbox_no]
        assert (said["seq"], said["kind"], said["subject"], said["data"]) == (one.seq, row.kind, row.subject, row.data)
        leaf = leaf_of(one.body)
        head = next_head(head, leaf)
        frontier.append(leaf)
        assert (one.leaf, one.head) == (leaf.hex(), head.hex())
        heads.append(head)
        roots.append(frontier.root())
    require_signed_chain(world.checkpoints(), heads, roots)


def require_signed_chain(checkpoints: Sequence[SignedCheckpoint], heads: list[bytes], roots: list[bytes]) -> None:
    """Each is signed, names the one before, and says the head and root of as many entries."""
    before: SignedCheckpoint | None = None
    for number, signed in enumerate(checkpoints, start=1):
        said = signed.checkpoint
        assert (said.number, said.previous) == (number, before.digest if before else "")
        assert (said.head, said.root) == (heads[said.seq].hex(), roots[said.seq].hex())
        assert is_signed_by(
            bytes.fromhex(signed.public_key), signed_bytes(signed.text), bytes.fromhex(signed.signature)
        )
        before = signed


def led(world: AuditWorld, holder: str, seconds: int = 30) -> AuditWorld:
    """The same world for the holder of the lease: its ledger is fenced."""
    with world.ledger.transaction() as tx:
        lease = tx.take_lease("audit", holder, world.clock.now(), seconds)
    assert lease is not None
    return replace(world, ledger=world.ledger.fenced(lease))
