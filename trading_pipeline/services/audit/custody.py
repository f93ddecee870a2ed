"""What a person does about the audit log: accept what was found, rotate the key, replace a lost one.

Each is an entry of the log itself, in the name of whoever did it; the sequencer acts on it when it comes to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trading_pipeline.domain.audit import (
    ACCEPT,
    ACCEPTED,
    RECORD_ACCEPTED,
    RENEW,
    RENEWED,
    ROTATION_ASKED,
    key_id_of,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditError, AuditKeyError, InputError
from trading_pipeline.services.audit.anchors import examine, is_accepted, waits_unlogged
from trading_pipeline.services.audit.checkpoints import AuditDesk
from trading_pipeline.services.audit.coverage import Coverage
from trading_pipeline.services.audit.damage import Damage, Kind
from trading_pipeline.services.audit.differences import Difference, accepting
from trading_pipeline.services.audit.fills import FillWatch
from trading_pipeline.services.audit.record import RecordWatch
from trading_pipeline.services.audit.sequencer import next_signer
from trading_pipeline.services.audit.verify import Means, Verdict, verify_log


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """What the log and its anchors do not agree in, or what is damaged inside of it. name: of exactly this state, empty
    where only the record differs. differences: of the record, accepted with it.
    """

    name: str
    problem: str
    accepted: bool
    differences: tuple[Difference, ...] = ()


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
    """Accept the log as the database has it, and what the record differs from it in; the sequencer goes on from there.

    The acceptance is of exactly this, and is an entry itself; what was found stays visible to `audit verify` for ever,
    and whatever changes afterwards is found anew. Raises AuditError when nothing is wrong, and for a key or a file that
    is to be put back instead.
    """
    require_named(operator, reason)
    found, seen = mismatch(desk), _look(desk)
    damage = seen.verdict.damage
    if found is None and damage is None and not seen.differences:
        raise AuditError("the audit log continues what was anchored and holds, and so does the record: there is "
                         "nothing to accept.")  # fmt: skip
    if found is None and damage is not None:
        _require_mendable_by_acceptance(desk, damage)
    problem = found.problem if found else damage.words if damage else ""
    is_told = found.accepted if found else damage is None or seen.is_waiting
    name = found.name if found else ""
    if not is_told:
        _tell(desk, ACCEPTED, name or seen.coverage.state[:16], operator, mismatch=name, problem=problem,
              reason=reason.strip(), key_id=_key_here(desk), **seen.coverage.data)  # fmt: skip
    for data in accepting(seen.differences):
        _tell(desk, RECORD_ACCEPTED, desk.account, operator, reason=reason.strip(), **data)
    shown = name or (seen.coverage.state[:16] if damage else "")
    return Mismatch(name=shown, problem=problem, accepted=True, differences=seen.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a look at the whole log shows. coverage: all that an acceptance of it covers. is_waiting: it was given, and
    waits to be numbered."""

    verdict: Verdict
    differences: tuple[Difference, ...]
    coverage: Coverage
    is_waiting: bool


def _look(desk: AuditDesk) -> _Seen:
    watch = RecordWatch(FillWatch())
    means = Means(verify=desk.verify, keys=desk.keys, anchors=desk.anchors)
    with desk.ledger.read() as tx:
        verdict = verify_log(tx, means, watch=watch, as_it_is=watch)
        newest = tx.newest_logged()
        coverage = Coverage.of(
            tx, first=verdict.signed + 1, last=newest.seq if newest else 0, after=verdict.checkpoints,
            highest=tx.highest_checkpoint(),
        )  # fmt: skip
        return _Seen(
            verdict=verdict, differences=watch.judged(tx, desk.account).new, coverage=coverage,
            is_waiting=waits_unlogged(tx, 0, ACCEPTED, "state", coverage.state),
        )  # fmt: skip


def _require_mendable_by_acceptance(desk: AuditDesk, damage: Damage) -> None:
    """Raises AuditError for what the next look would find again: a wrong key, a file that cannot be read."""
    words = damage.words.rstrip(".")
    if damage.kind is Kind.KEY and not key_state(desk).is_right:
        raise AuditKeyError(f"{words}. Put the right key back, or if it is lost: {RENEW}")
    if damage.kind in {Kind.ANCHORS, Kind.OTHER_LOG}:
        raise AuditError(
            f"{words}. Put a good copy of {desk.anchors.place} in its place; if there is none, move it away and "
            f"accept that it is gone: {ACCEPT}"
        )


def _key_here(desk: AuditDesk) -> str:
    """Id of the key that is to sign what was accepted; "" where none can be used. After a restore it may be one that
    the database does not know of."""
    try:
        present = desk.keys.present()
    except AuditKeyError:
        return ""
    return key_id_of(present) if present else ""


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
    Asked again before that, it is the same key, and nothing more.

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
    with desk.ledger.read() as tx:
        is_asked = waits_unlogged(tx, 0, ROTATION_ASKED, "key_id", following)
    if not is_asked:
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
