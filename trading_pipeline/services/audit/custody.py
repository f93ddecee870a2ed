"""What a person does about the audit log: accept what was found, rotate the key, replace a lost one.

Each is an entry of the log itself, in the name of whoever did it; the sequencer acts on it when it comes to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trading_pipeline.domain.audit import ACCEPTED, RENEW, RENEWED, ROTATION_ASKED, key_id_of
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditError, AuditKeyError, InputError
from trading_pipeline.services.audit.anchors import examine, is_accepted
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.sequencer import next_signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """What the log and its anchors do not agree in. name: of exactly this state."""

    name: str
    problem: str
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """The signing key as others should know it. present: the key of the file, "" for none; expected: the one that the
    newest checkpoint wants next, "" before the first. Hexadecimal raw public keys."""

    present: str
    expected: str

    @property
    def key_id(self) -> str:
        """Of the present key; "" for none."""
        return key_id_of(bytes.fromhex(self.present)) if self.present else ""

    @property
    def is_right(self) -> bool:
        """True when the present key may sign."""
        return bool(self.present) and self.expected in {"", self.present}


def mismatch(desk: AuditDesk) -> Mismatch | None:
    """What stops the sequencer; None when nothing does. Reads only."""
    with desk.ledger.read() as tx:
        log_id = tx.log_id()
        if log_id is None:
            return None
        found = examine(tx, log_id, desk.anchors, desk.verify)
        if not found.problem:
            return None
        return Mismatch(name=found.mismatch, problem=found.problem, accepted=is_accepted(tx, found))


def accept(desk: AuditDesk, operator: str, reason: str) -> Mismatch:
    """Let the sequencer go on from the log as the database has it. Raises AuditError when nothing stops it.

    The acceptance is of this state alone; the mismatch stays visible to `audit verify` for ever.
    """
    require_named(operator, reason)
    found = mismatch(desk)
    if found is None:
        raise AuditError("the audit log continues what was anchored: there is nothing to accept.")
    if not found.accepted:
        _tell(desk, ACCEPTED, found.name, operator, mismatch=found.name, problem=found.problem, reason=reason.strip())
    return Mismatch(name=found.name, problem=found.problem, accepted=True)


def key_state(desk: AuditDesk) -> KeyState:
    """Raises AuditKeyError when the key cannot be read safely."""
    with desk.ledger.read() as tx:
        newest = tx.newest_checkpoint()
    present = desk.keys.present()
    return KeyState(
        present=present.hex() if present else "", expected=next_signer(newest).hex() if newest is not None else ""
    )


def rotate_key(desk: AuditDesk, operator: str, reason: str) -> str:
    """Ask the sequencer for a new key: its next checkpoint, still signed by the old one, names it. Returns its key id.

    Raises AuditKeyError when the present key is not the right one: what is lost is renewed.
    """
    require_named(operator, reason)
    state = key_state(desk)
    if not state.is_right:
        raise AuditKeyError(
            "the present audit key may not name the next one: it is not the one that signed last. Put that back, or: "
            f"{RENEW}"
        )
    following = key_id_of(desk.keys.prepare_next())
    _tell(desk, ROTATION_ASKED, following, operator, key_id=following, before=state.key_id, reason=reason.strip())
    return following


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A new key, by its id. before: the one it follows, "" where nothing was signed yet. is_signed_over: the key before
    it signs the change itself, which is a rotation; else it was lost, and nothing but an entry ties the two."""

    key_id: str
    before: str
    is_signed_over: bool


def renew_key(desk: AuditDesk, operator: str, reason: str) -> Renewal:
    """A new key: by rotation as long as the right one is here, in the place of a lost one else.

    Where it was lost the next checkpoint is signed with the new one, and nothing but an entry ties it to the keys
    before: whoever verifies must be told by other means. Raises AuditKeyError for a key that is here and cannot be used
    as it is: that is mended, not replaced.
    """
    require_named(operator, reason)
    with desk.ledger.read() as tx:
        newest = tx.newest_checkpoint()
    expected = next_signer(newest) if newest is not None else b""
    is_lost, made = desk.keys.is_lost(), desk.keys.prepare_next()
    if made == expected:
        desk.keys.promote_next(made)  # a crash came after the checkpoint that named it
        is_lost = False
    if not is_lost and (state := key_state(desk)).is_right:
        following = rotate_key(desk, operator, reason)
        return Renewal(key_id=following, before=state.key_id, is_signed_over=True)
    return _replaced(desk, made, key_id_of(expected) if expected else "", operator, reason)


def _replaced(desk: AuditDesk, made: bytes, lost: str, operator: str, reason: str) -> Renewal:
    _tell(desk, RENEWED, key_id_of(made), operator, key_id=key_id_of(made), public_key=made.hex(), lost=lost,
          reason=reason.strip())  # fmt: skip
    desk.keys.promote_next(made)
    return Renewal(key_id=key_id_of(made), before=lost, is_signed_over=False)


def require_named(operator: str, reason: str) -> None:
    """Raise InputError unless a person and a reason are named."""
    for what, text in (("--operator", operator), ("--reason", reason)):
        if not text.strip():
            raise InputError(f"{what} is empty: the audit log tells who did this, and why.")


def _tell(desk: AuditDesk, kind: str, subject: str, operator: str, **data: str) -> None:
    entry = AuditEntry(
        occurred_at=desk.clock.now(),
        kind=kind,
        account=desk.account,
        subject=subject,
        actor=operator.strip(),
        data=data,
    )
    with desk.ledger.transaction() as tx:
        tx.add_audit(entry)
