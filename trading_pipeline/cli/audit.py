"""`audit`: verify, prove, export and follow the audit log, its checkpoints and its keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import print_json, print_table, progress, say, say_line
from trading_pipeline.cli.passwords import ask_password
from trading_pipeline.domain.audit import ACCEPT, RENEW, LoggedEntry, instant_text
from trading_pipeline.domain.errors import InputError, MissingResultError
from trading_pipeline.domain.risk_book import Mode

if TYPE_CHECKING:
    from trading_pipeline.services.audit.damage import Damage
    from trading_pipeline.services.audit.verify import Verdict
    from trading_pipeline.wiring import Workspace
    from trading_pipeline.wiring.audit_reading import Verified

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
keys_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
app.add_typer(keys_app, name="keys")
DAMAGED, BUT = 3, 4
"""Exit codes of verify: the log is damaged; it holds, but nothing was kept elsewhere, or nothing can be signed."""
LOOK_SECONDS = 1.0
OperatorOption = Annotated[str, typer.Option("--operator", help="Who does it")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the record")]


@app.callback()
def audit() -> None:
    """The audit log: what was done, by whom, and that nobody changed it since."""


@keys_app.callback()
def keys() -> None:
    """The keys that sign the log's checkpoints."""


@app.command()
def verify(
    context: typer.Context,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="A checkpoint you kept: the message of an audit_checkpoint alert"),
    ] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="Also compare the fills in the record with the log")] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge the whole log against its outbox, its signatures and the checkpoints kept elsewhere, and the modes,
    approvals and operators in the record against the log.

    Exit code 0: it holds; 3: it is damaged, and the first bad entry is named; 4: it holds, but nothing was kept
    elsewhere, so that a cut end or a rewritten log would not be seen, or the signing key is missing or cannot be used.
    """
    from trading_pipeline.wiring.audit_reading import verify as verify_all

    workspace = workspace_of(context)
    with progress() as shown:
        task = shown.add_task("entries", total=None)
        found = verify_all(
            workspace, tuple(anchor or ()), ledger=ledger,
            progress=lambda done, of: shown.update(task, completed=done, total=of),
        )  # fmt: skip
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
    if not found.is_sound:
        raise typer.Exit(DAMAGED)
    if found.verdict.but:
        raise typer.Exit(BUT)


def _show(found: Verified) -> None:
    verdict = found.verdict
    for damage in verdict.damages:
        _show_damage(damage)
    for note in verdict.notes:
        say_line(f"  {note}")
    if verdict.unsigned:
        say_line(f"  nothing can be signed, and whether our key signed was not judged: {verdict.unsigned}")
    for words in found.record.accepted:
        say_line(f"  {words}")
    for one in found.record.new:
        say_line(f"  {one.line}")
    if not found.record.new:
        fills = "fills, " if found.has_fills else ""
        say(f"{fills}modes, approvals and operators in the record are those of the log, or were accepted")
    say(_summary(verdict))
    if found.record.new:
        say_line(
            "DAMAGED (record): the record is not what the log says of it, see above. Find out who could write there; "
            f"once it is explained: {ACCEPT}"
        )


def _show_damage(damage: Damage) -> None:
    if damage.accepted_at is not None:
        say_line(f"  accepted with checkpoint {damage.accepted_at}: {damage.words}")
        return
    say_line(f"DAMAGED ({damage.kind.value}): {damage.words}")
    say(f"  {damage.advice}")


def _summary(verdict: Verdict) -> str:
    if not verdict.log_id:
        return "the audit log has no entry yet: trading-pipeline relay run --once"
    word = "DAMAGED" if not verdict.is_sound else ", BUT ".join(["OK", *verdict.but])
    return (
        f"{word}: log {verdict.log_id}, {verdict.entries:,} entries, {verdict.checkpoints:,} checkpoints; signed up to "
        f"{verdict.signed:,}, kept elsewhere up to {verdict.anchored:,}; {verdict.waiting:,} wait to be numbered"
    )


def _as_json(found: Verified) -> dict[str, object]:
    verdict = found.verdict
    return {
        "ok": found.is_sound, "anchored": verdict.is_anchored,
        "can_sign": not verdict.unsigned, "unsigned": verdict.unsigned or None, "but": [*verdict.but],
        "log_id": verdict.log_id,
        "entries": verdict.entries, "checkpoints": verdict.checkpoints, "signed_to": verdict.signed,
        "anchored_to": verdict.anchored, "waiting": verdict.waiting, "head": verdict.head, "key_id": verdict.key_id,
        "notes": [*verdict.notes],
        "damages": [
            {"kind": one.kind.value, "first_bad": one.since, "shows_at": one.seq, "words": one.words,
             "advice": one.advice, "accepted_at_checkpoint": one.accepted_at}
            for one in verdict.damages
        ],
        "fills_compared": found.has_fills,
        "differences": [{"of": one.subject, "entry": one.seq, "words": one.words} for one in found.record.new],
        "accepted_differences": [*found.record.accepted],
    }  # fmt: skip


@app.command()
def prove(
    context: typer.Context,
    seq: Annotated[int, typer.Argument(min=1, help="Number of the entry")],
    checkpoint: Annotated[int | None, typer.Option("--checkpoint", min=1, help="Default: the first over it")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File. Default: standard output")] = None,
) -> None:
    """Prove that an entry is in the log, as JSON that tools/verify_audit.py --proof judges."""
    from trading_pipeline.wiring.audit_reading import prove as prove_entry

    document = json.dumps(prove_entry(workspace_of(context), seq, checkpoint).document(), indent=2)
    if out is None:
        typer.echo(document)
        return
    out.write_text(document + "\n", encoding="utf-8")
    say(f"the proof of entry {seq} is in {out}: python tools/verify_audit.py --proof {out} --key KEY")


@app.command()
def export(
    context: typer.Context,
    form: Annotated[str, typer.Option("--format", help="json (lines; can be verified) or csv (for people)")] = "json",
    out: Annotated[Path | None, typer.Option("--out", help="File. Default: standard output")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Number of an entry, or a day (UTC): YYYY-MM-DD")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same, included")] = None,
) -> None:
    """Write the log with its checkpoints, to be kept or verified elsewhere. A file is complete, or it is not there."""
    from trading_pipeline.services.audit.export import formats
    from trading_pipeline.wiring.audit_reading import export as write

    if form not in formats():
        raise InputError(f"--format {form}: there are {', '.join(formats())}")
    if form == "csv" and out is None and sys.stdout.isatty():
        raise InputError("a csv holds texts as they are, which may steer a terminal: name a file with --out")
    lines = write(workspace_of(context), form, out, start, end)
    if out is not None:
        say(f"{lines:,} lines are in {out}")


@app.command()
def tail(
    context: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="So many entries")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="And those that come, until Ctrl-C")] = False,
    as_json: JsonOption = False,
) -> None:
    """The newest entries."""
    from trading_pipeline.wiring.audit_reading import following, newest_entries

    workspace = workspace_of(context)
    found = newest_entries(workspace, lines)
    if as_json and not follow:
        print_json([json.loads(one.body) for one in found])
        return
    if not follow:
        rows = [(one.seq, f"{one.occurred_at:%Y-%m-%d %H:%M:%S}", one.kind, one.account, one.subject, _data(one))
                for one in found]  # fmt: skip
        print_table(("entry", "at (UTC)", "kind", "account", "of", "data"), rows, empty="no entry yet")
        return
    for one in found:
        _say_entry(one, as_json)
    for one in following(workspace, found[-1].seq if found else 0, lambda: sleep(LOOK_SECONDS)):
        _say_entry(one, as_json)


def _say_entry(one: LoggedEntry, as_json: bool) -> None:
    at = f"{one.occurred_at:%Y-%m-%d %H:%M:%S}"
    say_line(one.body if as_json else f"{one.seq} {at} {one.kind} {one.account} {one.subject} {_data(one)}")


def _data(one: LoggedEntry) -> str:
    body = json.loads(one.body)
    said = ", ".join(f"{name} {text}" for name, text in body["data"].items())
    return f"{said} (by {body['actor']})" if body["actor"] != "trading-pipeline" else said


@app.command()
def checkpoint(context: typer.Context, as_json: JsonOption = False) -> None:
    """The newest checkpoint: keep its line elsewhere, and pass it to `audit verify --anchor`."""
    from trading_pipeline.wiring.audit_reading import newest_checkpoint

    signed = newest_checkpoint(workspace_of(context))
    if signed is None:
        raise MissingResultError("there is no checkpoint yet: trading-pipeline relay run --once")
    said = signed.checkpoint
    if as_json:
        print_json({"text": signed.text, "signature": signed.signature, "public_key": signed.public_key})
        return
    say(f"checkpoint {said.number} at {instant_text(said.at)} ({said.why.value}), signed by {said.key_id}")
    say(json.dumps({"text": signed.text, "signature": signed.signature, "public_key": signed.public_key}))


@app.command()
def accept(context: typer.Context, reason: ReasonOption, operator: OperatorOption) -> None:
    """Let the log go on though it does not continue what was anchored, or is damaged, or the record differs from it:
    after a restore, or once it is explained. Above SIMULATION the operator's password is asked for.

    What was found stays visible to `audit verify` for ever; whatever changes afterwards is found anew.
    """
    from trading_pipeline.services.audit.custody import accept as accept_state
    from trading_pipeline.wiring.audit import audit_desk

    workspace = workspace_of(context)
    _prove(workspace, operator, "accept the audit log as it is")
    found = accept_state(audit_desk(workspace), operator, reason)
    if found.name:
        say_line(f"accepted (mismatch {found.name}): {found.problem}")
    for one in found.differences:
        say_line(f"accepted (difference {one.name}): {one.line}")
    say("The relay goes on from here, and puts it on record: trading-pipeline relay run --once")


@keys_app.command("show")
def keys_show(context: typer.Context, as_json: JsonOption = False) -> None:
    """The public keys: keep them elsewhere, they are what others verify with."""
    from trading_pipeline.services.audit.custody import key_state
    from trading_pipeline.wiring.audit import audit_desk, key_folder
    from trading_pipeline.wiring.audit_reading import public_keys

    workspace = workspace_of(context)
    state, known = key_state(audit_desk(workspace)), public_keys(workspace)
    if as_json:
        print_json({
            "folder": key_folder(workspace).place, "present": state.present or None, "key_id": state.key_id or None,
            "is_right": state.is_right, "signed": known,
        })  # fmt: skip
        return
    rows = [(one["key_id"], one["first_checkpoint"], one["public_key"]) for one in known]
    print_table(("key", "from checkpoint", "public key"), rows, empty="no checkpoint was signed yet")
    say(f"signs now: {state.key_id or 'no key'}, in {key_folder(workspace).place}")
    if state.present and not state.is_right:
        say(f"This is not the key that the newest checkpoint wants. Put that back, or if it is lost: {RENEW}")


@keys_app.command()
def rotate(context: typer.Context, reason: ReasonOption, operator: OperatorOption) -> None:
    """Ask for a new key: the next checkpoint, still signed by the old one, names it."""
    from trading_pipeline.services.audit.custody import rotate_key
    from trading_pipeline.wiring.audit import audit_desk

    workspace = workspace_of(context)
    _prove(workspace, operator, "rotate the audit key")
    key_id = rotate_key(audit_desk(workspace), operator, reason)
    say(f"key {key_id} signs after the next checkpoint, which the relay makes: trading-pipeline relay run --once")


@keys_app.command()
def renew(context: typer.Context, reason: ReasonOption, operator: OperatorOption) -> None:
    """Put a new key in the place of one that is lost; one that is still here signs the change itself, as in rotate.

    Above SIMULATION the operator's password is asked for.
    """
    from trading_pipeline.services.audit.custody import renew_key
    from trading_pipeline.wiring.audit import audit_desk

    workspace = workspace_of(context)
    _prove(workspace, operator, "renew the audit key")
    made = renew_key(audit_desk(workspace), operator, reason)
    if made.is_signed_over:
        say(f"ROTATED: key {made.before} is here, so that it signs the change itself: nobody has to be told.")
        say(f"key {made.key_id} signs after the next checkpoint, which the relay makes: trading-pipeline relay run "
            "--once")  # fmt: skip
        return
    say(f"REPLACED: key {made.before or 'of before'} is lost and signs nothing of this. Tell everybody who verifies, "
        "by other means than this log: the old key vouches no more.")  # fmt: skip
    say(f"key {made.key_id} signs from now on. Keep its public half elsewhere: trading-pipeline audit keys show")


def _prove(workspace: Workspace, operator: str, act: str) -> None:
    """Above SIMULATION a name is proven by the operator's password; raises ModeRefused, which is on record."""
    from trading_pipeline.services.modes.operators import Credentials
    from trading_pipeline.services.modes.transitions import present_mode
    from trading_pipeline.wiring.modes import operators_of

    with workspace.ledger.read() as tx:
        mode = present_mode(tx, workspace.settings.execution.account).mode
    if mode is not Mode.SIMULATION:
        operators_of(workspace).prove(Credentials(operator, ask_password(operator)), act)
