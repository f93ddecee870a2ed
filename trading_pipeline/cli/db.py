"""`db`: the record's tables and backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import print_json, print_records, say

if TYPE_CHECKING:
    from trading_pipeline.wiring.backups import Restored

NEXT = (
    ("audit verify", "an audit log whose end is cut off is what a restore leaves; anything else: docs/audit.md"),
    ("audit accept --reason TEXT --operator NAME", "where verify says DAMAGED: nothing is numbered or signed before"),
    ("relay run --once", "puts that on record, and signs it"),
    ("reconcile", "what the broker knows and the record does not; look at each point"),
    ("up --detach", "the loop brings fills and orders of since into the record"),
    ("resume --reason TEXT --operator NAME", "once record and broker agree: entries may leave again"),
)
"""After a restore: each command, and what it is for."""
app = typer.Typer(help="The record: tables and backups.", no_args_is_help=True, rich_markup_mode=None,
                  add_completion=False)  # fmt: skip
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Of the backups. Default: storage.backup_folder, else of the home"),
]


@app.command()
def upgrade(context: typer.Context, as_json: JsonOption = False) -> None:
    """Create or upgrade the record's tables, whole or not at all. Every command does so too; this one says it."""
    from trading_pipeline.adapters.migrations import NEWEST

    place = workspace_of(context).ledger.place
    if as_json:
        print_json({"ledger": place, "revision": NEWEST})
    else:
        say(f"the ledger {place} is at version {NEWEST}")


@app.command()
def backup(context: typer.Context, folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Back up the record while everything runs, verify the copy, and remove backups that are old."""
    from trading_pipeline.wiring.backups import backup as make

    made = make(workspace_of(context), folder)
    manifest = made.backup.manifest
    if as_json:
        print_json({"folder": str(made.backup.folder), **manifest.model_dump(mode="json"), "removed": [*made.removed]})
        return
    rows = sum(manifest.counts.values())
    say(f"backup {made.backup.folder}: {rows:,} rows, {', '.join(manifest.files)}; verified")
    if made.removed:
        say(f"removed {len(made.removed)} old backups, {made.removed[0]} to {made.removed[-1]}")
    say("Bars and research are no part of it: they can be fetched and made again. Keep a copy on another disk.")


@app.command("list")
def list_(context: typer.Context, folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Show the backups there are, oldest first."""
    from trading_pipeline.wiring.backups import backups

    rows: list[dict[str, object]] = [
        {"name": one.name, "made_at": f"{one.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC", "version": one.manifest.revision,
         "rows": f"{sum(one.manifest.counts.values()):,}", "of": one.manifest.source}
        for one in backups(workspace_of(context), folder)
    ]  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        print_records(rows, empty="no backups: trading-pipeline db backup")


@app.command()
def restore(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name or folder of a backup, or: latest")],
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the record's place. Nothing may trade meanwhile; the record before is kept aside."""
    from trading_pipeline.wiring.backups import restore as put_back

    done = put_back(workspace_of(context), name, folder)
    manifest = done.backup.manifest
    if as_json:
        print_json({"restored": done.backup.name, "made_at": manifest.made_at.isoformat(),
                    "before": done.aside or None, "beside": [*done.told], "trading": done.state.value,
                    "not_closed": done.not_closed or None,
                    "next": [command for command, _ in NEXT]})  # fmt: skip
        return
    say(f"restored the backup of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC. {_before(done)}")
    for one in done.told:
        say(f"  {one}")
    if done.not_closed:
        say(
            f"In the backup all positions are to be closed ({done.not_closed}). That is not carried out: it may be "
            "done by now, or taken back. If it is still wanted: trading-pipeline kill --flatten"
        )
    say(f"Trading is {done.state.value}. What happened since the backup is missing in the record. Next, in this order:")
    for number, (command, why) in enumerate(NEXT, 1):
        say(f"  {number}. trading-pipeline {command}")
        say(f"       {why}")


def _before(done: Restored) -> str:
    """What became of the record that was there."""
    if done.was_there:
        return f"The record before is kept: {done.aside}"
    left = f"; what was left of it is kept: {done.aside}" if done.aside else ", so nothing is kept of it"
    return f"There was no record to put aside{left}. If it turns up, do not put it back: the backup is the record now"
