"""What may be asked for from where an account stands: the next rung, the same under new settings, or to go on."""

from __future__ import annotations

from dataclasses import dataclass

from trading_pipeline.domain.approvals import Refusal
from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ChangeKind, ModeState, Rung, next_rungs
from trading_pipeline.domain.risk_book import Mode


@dataclass(frozen=True, slots=True)
class Target:
    """A change that is asked for. mode: None for RENEW and RESUME, which stay; step, symbols: None: as they are."""

    kind: ChangeKind
    mode: Mode | None = None
    step: int | None = None
    symbols: int | None = None

    def __str__(self) -> str:
        return self.mode.value if self.mode else self.kind.name


def target_of(words: str, *, step: int | None = None, symbols: int | None = None) -> Target:
    """What a person calls it: a mode, RENEW or RESUME; raises InputError for anything else."""
    name = words.upper()
    if name in {ChangeKind.RENEW.name, ChangeKind.RESUME.name}:
        return Target(ChangeKind[name])
    asked = [mode.value for mode in Mode if mode is not Mode.SIMULATION]
    if name not in asked:
        raise InputError(f"{words!r} cannot be asked for; there are: {', '.join([*asked, 'RENEW', 'RESUME'])}")
    return Target(ChangeKind.RAISE, Mode(name), step, symbols)


def require_reachable(target: Target, state: ModeState, evidence: ModeState) -> Rung:
    """The rung that is meant; raises ModeRefused when it does not come next.

    evidence: the state of the account whose record speaks for it: the same account, or, on the way to PAPER and to
    LIVE_MINIMAL, which a broker keeps under accounts of their own, another one.
    """
    if target.kind is not ChangeKind.RAISE or target.mode is None:
        return _staying(target.kind, state, evidence)
    rung = _meant(target, target.mode, state)
    for one in (state, evidence):
        if one.is_stopped:
            raise _refused(f"account {one.account} is stopped: mode request RESUME comes first")
    if state.account != evidence.account:
        _require_another_may_speak(rung, state, evidence)
    if rung not in (ways := next_rungs(evidence.rung)):
        there = " or ".join(str(way) for way in ways)
        raise _refused(f"account {evidence.account} is in {evidence.name}: next is {there}, not {rung}")
    return rung


def _meant(target: Target, mode: Mode, state: ModeState) -> Rung:
    if mode is state.mode:
        return Rung(mode, target.step or state.step, target.symbols or state.rung.symbols)
    return Rung(mode, target.step or 1, target.symbols)


def _staying(kind: ChangeKind, state: ModeState, evidence: ModeState) -> Rung:
    if evidence.account != state.account:
        raise _refused("evidence of another account is for PAPER and LIVE_MINIMAL only")
    if kind is ChangeKind.RESUME and not state.is_stopped:
        raise _refused(f"account {state.account} is in {state.name}, not stopped: there is nothing to resume")
    if kind is ChangeKind.RENEW and (state.is_stopped or state.mode is Mode.SIMULATION):
        raise _refused(f"account {state.account} is in {state.name}: only a mode that was approved is renewed")
    return state.rung


def _require_another_may_speak(rung: Rung, state: ModeState, evidence: ModeState) -> None:
    modes = tuple(Mode)
    if rung.mode not in {Mode.PAPER, Mode.LIVE_MINIMAL}:
        raise _refused(f"{rung} needs evidence of account {state.account} itself")
    if modes.index(state.mode) >= modes.index(rung.mode):
        raise _refused(f"account {state.account} is in {state.name} already: use its own record ({evidence.account})")


def _refused(words: str) -> ModeRefused:
    return ModeRefused(Refusal.WRONG_RUNG, words)
