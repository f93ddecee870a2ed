"""Verify the audit log in the database, from its first entry to its last, without ever holding more than a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from trading_pipeline.domain.audit import RENEW, LoggedEntry, SignedCheckpoint, Why, read_body
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditError, AuditFormatError, AuditKeyError
from trading_pipeline.ports.audit import AnchorFile, AuditKeys, AuditTransaction, Verifier
from trading_pipeline.services.audit.coverage import UNREADABLE, Coverage, accepted_after, keys_named_after
from trading_pipeline.services.audit.damage import Damage, Damaged, Kind
from trading_pipeline.services.audit.judgement import Judge
from trading_pipeline.services.audit.kept import Kept, KeptElsewhere, read_checkpoints, require_agreeing, said_by

PAGE = 1000
NO_KEY = f"no signing key is here. Put it back; if it is lost for good: {RENEW}"
Compared = tuple[LoggedEntry, AuditEntry | None]
Progress = Callable[[int, int], None]
Watch = Callable[[LoggedEntry], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the judgement.

    entries: how many were found good, or accepted as they are. signed, anchored: the last entry that a checkpoint
    covers, and one that was kept elsewhere. waiting: outbox rows that are no entries yet. unsigned: why nothing can be
    signed now, "" when it can. damages: what a person accepted, and at last what nobody did.
    """

    log_id: str
    entries: int
    checkpoints: int
    signed: int
    anchored: int
    waiting: int
    head: str
    key_id: str
    unsigned: str = ""
    notes: tuple[str, ...] = ()
    damages: tuple[Damage, ...] = ()

    @property
    def damage(self) -> Damage | None:
        """What nobody accepted; None when the log holds."""
        return next((one for one in self.damages if one.accepted_at is None), None)

    @property
    def is_sound(self) -> bool:
        """True when nothing was found that a person has not accepted."""
        return self.damage is None

    @property
    def but(self) -> tuple[str, ...]:
        """What is to be done about a log that holds, in a few words each."""
        unanchored = () if self.is_anchored else ("NOTHING WAS KEPT ELSEWHERE",)
        return (*unanchored, *(("NOTHING CAN BE SIGNED",) if self.unsigned else ()))

    @property
    def is_anchored(self) -> bool:
        """False when there are checkpoints, and none was kept elsewhere: then much would not be seen."""
        return bool(self.anchored or not self.checkpoints or not self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the log is judged with. kept: checkpoints as people keep them, lines of text."""

    verify: Verifier
    keys: AuditKeys
    anchors: AnchorFile
    kept: Sequence[str] = ()


def verify_log(
    tx: AuditTransaction,
    means: Means,
    *,
    progress: Progress = lambda _done, _of: None,
    watch: Watch | None = None,
    as_it_is: Watch | None = None,
) -> Verdict:
    """Judge the whole log as one state of the database shows it.

    progress: is told the entries done, and those there. watch: is called with each entry that holds; as_it_is: with
    those that a person accepted as they are, and with all after damage that nobody accepted.
    Raises InputError for `kept` that is no checkpoint, or when two of them differ.
    """
    extra = require_agreeing(Kept.read(line) for line in means.kept)
    kept, problem = _anchored(means.anchors)
    for one in extra:
        kept.add(one)  # what people kept outweighs a file of this machine
    present_key, unsigned = _present(means.keys)
    judge = Judge(tx.log_id() or "", kept, means.verify)
    trial = _Trial(tx, judge, progress, watch)
    trial.run(lambda: _ended(judge, present_key, problem), as_it_is)
    damages, entries = trial.damages, judge.seq
    if as_it_is is not None and damages and damages[-1].accepted_at is None:
        trial.tell_rest(as_it_is)
    if unsigned == NO_KEY and not judge.number:
        unsigned = ""  # the relay makes the first one
    return Verdict(
        log_id=judge.log_id, entries=entries, checkpoints=judge.number, signed=judge.signed,
        anchored=judge.anchored, waiting=tx.waiting().entries, head=judge.head.hex(), key_id=judge.key_id,
        unsigned=unsigned, notes=tuple(judge.notes), damages=tuple(damages),
    )  # fmt: skip


def judge_rest(
    tx: AuditTransaction,
    judge: Judge,
    end: Callable[[], None],
    *,
    progress: Progress = lambda _done, _of: None,
    watch: Watch | None = None,
) -> Sequence[Damage]:
    """Judge what follows on the last entry that the judge has seen; what a person accepted, and what nobody did.

    end: is called once everything was read; raises Damaged when that should not be all.
    """
    trial = _Trial(tx, judge, progress, watch)
    trial.run(end)
    return trial.damages


def _anchored(anchors: AnchorFile) -> tuple[KeptElsewhere, str]:
    """What the file has, and what is wrong with it."""
    try:
        return KeptElsewhere(map(Kept.of, anchors.lines())), ""
    except AuditError as error:
        return KeptElsewhere(), str(error)


def _present(keys: AuditKeys) -> tuple[bytes | None, str]:
    """The key that signs now, and why there is none."""
    try:
        found = keys.present()
    except AuditKeyError as error:
        return None, str(error)
    return found, "" if found else NO_KEY


def _ended(judge: Judge, present_key: bytes | None, problem: str) -> None:
    if problem:
        raise Damaged(Kind.ANCHORS, max(judge.seq, 1), problem, since=judge.anchored + 1)
    judge.end(present_key, needs_kept=True)


class _Trial:
    """One run over the log: judged to the first damage, and from where a person accepted that."""

    def __init__(self, tx: AuditTransaction, judge: Judge, progress: Progress, watch: Watch | None) -> None:
        self.judge, self.damages = judge, list[Damage]()
        self._tx, self._watch, self._progress = tx, watch, progress
        self._entries = self._read_entries(judge.seq, progress)
        self._checkpoints = read_checkpoints(tx, judge.number)
        self._entry: Compared | None = None
        self._checkpoint: SignedCheckpoint | None = None
        self._due = 0
        self._as_it_is: Watch | None = None

    def run(self, end: Callable[[], None], as_it_is: Watch | None = None) -> None:
        """Judge all of it; what is found stands in `damages`. as_it_is: see verify_log."""
        self._as_it_is = as_it_is
        while True:
            try:
                self.judge.require_own_log()
                self._judge()
                end()
            except Damaged as found:
                if self._go_on_after(found.damage):
                    continue
            return

    def _judge(self) -> None:
        """Every entry, and each checkpoint after the last entry it covers."""
        judge = self.judge
        while True:
            self._entry = self._entry or next(self._entries, None)
            self._judge_checkpoints(is_last=self._entry is None)
            if self._entry is None:
                return
            judge.entry(*self._entry)
            if self._watch is not None:
                self._watch(self._entry[0])
            self._entry = None

    def _judge_checkpoints(self, *, is_last: bool) -> None:
        while True:
            signed = self._next_checkpoint()
            if signed is None or not (is_last or self._due <= self.judge.seq):
                return
            self.judge.checkpoint(signed, self._frontier(signed))
            self._checkpoint = None

    def _next_checkpoint(self) -> SignedCheckpoint | None:
        if self._checkpoint is None:
            self._checkpoint = next(self._checkpoints, None)
            self._due = _covered(self._checkpoint) if self._checkpoint is not None else 0
        return self._checkpoint

    def _go_on_after(self, damage: Damage) -> bool:
        """Pass over to the checkpoint by which a person accepted it; False when nobody did.

        An acceptance that does not hold itself may be covered by a later one.
        """
        unheld: Damage | None = None
        while (accepted := self._acceptance()) is not None:
            try:
                number = self._resumed(*accepted)
            except Damaged as found:
                unheld = unheld or found.damage
                continue
            self.damages.append(replace(damage, accepted_at=number))
            return True
        self.damages += [one for one in (damage, unheld) if one is not None]
        return False

    def _resumed(self, signed: SignedCheckpoint, coverage: Coverage) -> int:
        """Go on at this checkpoint, which accepts what `coverage` says; its number. Raises Damaged."""
        said = said_by(signed.text)
        self.judge.back()
        self._entry, self._entries = None, self._read_entries(self.judge.seq, self._progress)
        self._pass_over(said.seq, coverage.last)
        named = keys_named_after(self._tx, said.number, said.seq)
        self.judge.resume(signed, self._frontier(signed), named)
        return said.number

    def _pass_over(self, seq: int, accepted: int) -> None:
        """To the entry `seq`: those up to `accepted` as they are, those after it judged."""
        while self.judge.seq < seq and (entry := self._entry or next(self._entries, None)) is not None:
            if entry[0].seq <= accepted:
                self.judge.skip(entry[0])
                self._tell(self._as_it_is, as_said(entry[0]))
            else:
                self.judge.entry(*entry)
                self._tell(self._watch, entry[0])
            self._entry = None

    def tell_rest(self, as_it_is: Watch) -> None:
        """What follows on damage that nobody accepted, as far as it can be read."""
        with suppress(Damaged):
            while (entry := self._entry or next(self._entries, None)) is not None:
                self._tell(as_it_is, as_said(entry[0]))
                self._entry = None

    @staticmethod
    def _tell(watch: Watch | None, logged: LoggedEntry | None) -> None:
        if watch is not None and logged is not None:
            watch(logged)

    def _acceptance(self) -> tuple[SignedCheckpoint, Coverage] | None:
        """The next signed checkpoint that accepts what was found before it, where that is what was accepted."""
        judge = self.judge
        while (signed := self._next_checkpoint()) is not None:
            self._checkpoint = None
            try:
                said = said_by(signed.text)
            except AuditFormatError:
                continue
            if said.why is not Why.ACCEPTED or said.seq < judge.signed or not judge.is_signed(signed, said):
                continue
            coverage = accepted_after(self._tx, said.seq)
            if coverage is None or (coverage.first, coverage.after) != (judge.signed + 1, judge.number):
                continue
            if coverage.last <= said.seq and coverage.highest < said.number and coverage.holds(self._tx):
                return signed, coverage
        return None

    def _frontier(self, signed: SignedCheckpoint) -> str | None:
        try:
            return self._tx.frontier(said_by(signed.text).number)
        except AuditFormatError:
            return None

    def _total(self) -> int:
        try:
            newest = self._tx.newest_logged()
        except AuditFormatError:
            return 0
        return newest.seq if newest else 0

    def _read_entries(self, at: int, progress: Progress) -> Iterator[Compared]:
        total = self._total()
        at = at or LOWEST
        while page := _page(self._tx, at):
            yield from page
            at = page[-1][0].seq
            progress(at, total)


LOWEST = -(2**63)
"""Rows that no sequencer wrote (it begins with 1) are looked at too: each would hide an outbox row."""


def as_said(logged: LoggedEntry) -> LoggedEntry | None:
    """The entry by its text alone, which is what was signed; None for one whose text is none."""
    try:
        body = read_body(logged.body)
        kind, account, subject = (str(body[name]) for name in ("kind", "account", "subject"))
    except (AuditFormatError, TypeError):
        return None
    return replace(logged, kind=kind, account=account, subject=subject)


def _covered(signed: SignedCheckpoint) -> int:
    """Entries that it covers; none when it cannot be read, so that the judge sees it at once."""
    try:
        return said_by(signed.text).seq
    except AuditFormatError:
        return 0


def _page(tx: AuditTransaction, after: int, limit: int = PAGE) -> Sequence[Compared]:
    """The next entries; what cannot be read raises Damaged when it is the first of them, and ends the page else."""
    try:
        return tx.compared(after=after, limit=limit)
    except UNREADABLE as error:
        if limit == 1:
            raise Damaged(Kind.UNREADABLE, after + 1, f"{type(error).__name__}: {error}") from error
        return _page(tx, after, max(1, limit // 10))
