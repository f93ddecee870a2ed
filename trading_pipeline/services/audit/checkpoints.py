"""Making checkpoints: signed, put into the table, then into the anchor file, and once a day told as an alert."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from trading_pipeline.domain.audit import (
    RENEW,
    Checkpoint,
    SignedCheckpoint,
    Why,
    key_id_of,
    signed_bytes,
)
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import AuditError, AuditKeyError
from trading_pipeline.ports import Clock
from trading_pipeline.ports.audit import AnchorFile, AuditKeys, AuditLedger, Verifier
from trading_pipeline.services.audit.chain import Chain

log = logging.getLogger(__name__)
DAILY = "audit_checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDesk:
    """What the audit log is kept with. account: whose alerts it raises. session_of: the session an instant belongs to.

    ledger: fenced by the lease `audit` where it is to be written by the sequencer.
    """

    ledger: AuditLedger
    keys: AuditKeys
    verify: Verifier
    anchors: AnchorFile
    clock: Clock
    account: str
    session_of: Callable[[datetime], date]

    def alert(self, cause: str, level: AlertLevel, kind: str, message: str, **data: str) -> Alert:
        """One that is raised once for its cause."""
        now = self.clock.now()
        return Alert(
            alert_id=f"{kind}-{cause}", account=self.account, session=self.session_of(now), occurred_at=now,
            level=level, kind=kind, message=message, data=data,
        )  # fmt: skip


class CheckpointBook:
    """The checkpoints of a log, continued after `last`."""

    def __init__(
        self, desk: AuditDesk, last: SignedCheckpoint | None, *, highest: int, unwritten: SignedCheckpoint | None
    ) -> None:
        """highest: number in the table, whatever it says. unwritten: the table's newest, where the file lacks it."""
        self._desk = desk
        self._last = last
        self._said = last.checkpoint if last else None
        self._number = max(highest, self._said.number if self._said else 0)
        self._unwritten = unwritten
        self._told_on: date | None = None

    @property
    def seq(self) -> int:
        """Entries that a checkpoint covers."""
        return self._said.seq if self._said else 0

    def settle(self) -> None:
        """Write into the file what it lacks; raises AuditError when it cannot be written."""
        if self._unwritten is not None:
            self._desk.anchors.append(self._unwritten)
            self._unwritten = None

    def make(self, chain: Chain, why: Why, next_key: bytes = b"") -> SignedCheckpoint:
        """One more checkpoint, of the log as it stands. Raises AuditKeyError, AuditError or LedgerError; what was
        done until then is gone on with."""
        self.settle()
        signed = self._signed(chain, why, next_key)
        with self._desk.ledger.transaction() as tx:
            tx.add_checkpoint(signed, chain.frontier.text())
            if (alert := self._daily(signed)) is not None:
                tx.raise_alert(alert)
        self._last, self._said, self._unwritten = signed, signed.checkpoint, signed
        self._number = self._said.number
        self.settle()
        log.info("audit checkpoint %d (%s) at entry %d", self._said.number, why.value, self._said.seq)
        return signed

    def _signed(self, chain: Chain, why: Why, next_key: bytes) -> SignedCheckpoint:
        public_key = self._desk.keys.present()
        if public_key is None:
            raise AuditKeyError(f"the audit key is gone: no checkpoint is made. Put it back, or: {RENEW}")
        said = Checkpoint(
            log_id=chain.log_id, number=self._number + 1, seq=chain.seq, head=chain.head.hex(),
            root=chain.frontier.root().hex(), previous=self._last.digest if self._last else "",
            at=self._desk.clock.now(), key_id=key_id_of(public_key), why=why, next_key=next_key.hex(),
        )  # fmt: skip
        message = signed_bytes(said.text)
        signature = self._desk.keys.sign(message)
        if not self._desk.verify(public_key, message, signature):
            raise AuditError("the audit key was exchanged while a checkpoint was signed: it is signed again.")
        return SignedCheckpoint(text=said.text, signature=signature.hex(), public_key=public_key.hex())

    def _daily(self, signed: SignedCheckpoint) -> Alert | None:
        """The first checkpoint of a day (UTC), for people far from this machine; two text messages hold it."""
        said = signed.checkpoint
        if self._told_on == said.at.date():
            return None
        self._told_on = said.at.date()
        return self._desk.alert(
            f"{said.log_id}-{said.at.date().isoformat()}", AlertLevel.INFO, DAILY,
            f"audit {said.log_id} checkpoint {said.number} entry {said.seq} head {said.head} root {said.root} "
            f"signature {b64encode(bytes.fromhex(signed.signature)).decode()}",
            log_id=said.log_id, number=str(said.number), seq=str(said.seq), head=said.head, root=said.root,
            text=signed.text, signature=signed.signature, key_id=said.key_id,
        )  # fmt: skip
