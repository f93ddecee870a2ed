"""data import | check | fetch | stream"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer
from pydantic import ValidationError

from trading_pipeline.adapters.data_import import ImportReport, ImportSpec, import_bars, read_delivery
from trading_pipeline.analytics.bars import session_table
from trading_pipeline.analytics.quality import QualityReport, check_bars
from trading_pipeline.cli import vendors
from trading_pipeline.cli.context import JsonOption, parse_day, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_table, progress, say
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import PARTIAL_FEEDS, Adjustment, Timeframe
from trading_pipeline.wiring import Workspace

app = typer.Typer(
    help="Bars: import files, fetch and stream from a vendor, check what is stored.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
app.command("fetch")(vendors.fetch)
app.command("stream")(vendors.stream)
SHOWN_ROWS = 15
NO_FEED = "files"
IMPORT = "trading-pipeline data import FILE --timeframe 1min|5min|1d"


@app.command("import")
def import_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Parquet or CSV files of bars")],
    timeframe: Annotated[Literal["1min", "5min", "1d"], typer.Option(help="Length of the bars")],
    label: Annotated[Literal["start", "end"], typer.Option(help="What a bar's time is")] = "start",
    adjustment: Annotated[Literal["raw", "split", "all"], typer.Option(help="What prices are adjusted for")] = "raw",
    adjusted_through: Annotated[
        str | None, typer.Option(help="Last ex-date an adjustment knows. Default: today")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column by name, as open=o; repeat as needed")] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol of a file without a symbol column")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of times that carry none")] = "America/New_York",
    as_json: JsonOption = False,
) -> None:
    """Store the bars of files; impossible rows are set aside with their reason. Importing twice changes nothing."""
    workspace = workspace_of(context)
    today = workspace.clock.now().date()
    through = parse_day(adjusted_through) if adjusted_through else today if adjustment != "raw" else None
    spec = _spec(
        timeframe=Timeframe(timeframe), label=label, adjustment=Adjustment(adjustment), adjusted_through=through,
        columns=_mapping(column or []), symbol=symbol, timezone=timezone,
    )  # fmt: skip
    reports = {str(file): _import_one(workspace, file, spec) for file in files}
    if as_json:
        print_json({name: _summary(report) for name, report in reports.items()})
    else:
        for name, report in reports.items():
            _show(name, report)
    if empty := [name for name, report in reports.items() if not report.good]:
        raise InputError(f"no row of {', '.join(empty)} could be used: every one was set aside, see the reasons.")
    if not as_json:
        say("\nNext: trading-pipeline data check")


def _spec(**fields: object) -> ImportSpec:
    try:
        return ImportSpec.model_validate(fields)
    except ValidationError as error:
        raise InputError("; ".join(problem["msg"] for problem in error.errors())) from error


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    bad = [pair for pair, (ours, _, theirs) in zip(pairs, split, strict=True) if not ours or not theirs]
    if bad:
        raise InputError(f"--column {bad[0]!r} is not a pair: write ours=theirs, as in --column open=o")
    return {ours.strip(): theirs.strip() for ours, _, theirs in split}


def _import_one(workspace: Workspace, file: Path, spec: ImportSpec) -> ImportReport:
    from trading_pipeline.defs.instance import report_raw_bars

    frame = read_delivery(file, spec=spec)
    with workspace.exclusive("import"), progress() as shown:
        task = shown.add_task(f"importing {file.name}", total=None)
        told = shown.add_task("telling Dagster", total=None)
        report = import_bars(
            frame, spec, workspace.calendar, workspace.bars, known_at=workspace.clock.now(),
            on_progress=lambda done, total: shown.update(task, completed=done, total=total),
        )  # fmt: skip
        report_raw_bars(
            workspace.home, report.sessions, {"source": file.name, "timeframe": spec.timeframe.value},
            on_progress=lambda done, total: shown.update(told, completed=done, total=total),
        )  # fmt: skip
    return report


def _summary(report: ImportReport) -> dict[str, object]:
    return {
        "delivered": report.delivered, "good": report.good, "new": report.new, "corrected": report.corrected,
        "unchanged": report.unchanged, "duplicates_collapsed": report.collapsed, "quarantined": report.quarantined,
        "reasons": report.reasons, "corporate_actions": report.actions, "sessions": len(report.sessions),
        "symbols": len(report.symbols),
        "quarantine_file": str(report.quarantine_file) if report.quarantine_file else None,
    }  # fmt: skip


def _show(name: str, report: ImportReport) -> None:
    heading(name)
    summary = {key: value for key, value in _summary(report).items() if key not in {"reasons", "quarantine_file"}}
    print_table(("", ""), [(key.replace("_", " "), f"{value:,}") for key, value in summary.items()])
    if report.reasons:
        say("Set aside, with the reason:")
        print_table(("reason", "rows"), list(report.reasons.items()))
        say(f"They are kept in {report.quarantine_file}")


@app.command()
def check(
    context: typer.Context,
    timeframe: Annotated[Literal["1min", "5min", "1d"] | None, typer.Option(help="Default: the finest stored")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First date. Default: the first stored")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date. Default: the last stored")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only these symbols; repeat as needed")] = None,
    as_json: JsonOption = False,
) -> None:
    """Report on stored bars: coverage, gaps, duplicates, impossible values, jumps, stale runs. Exit 1 when wrong."""
    workspace = workspace_of(context)
    chosen = Timeframe(timeframe) if timeframe else workspace.bars.base_timeframe() or Timeframe.DAY1
    report, feeds = _check(workspace, chosen, first, last, symbol)
    if as_json:
        rows = {name: _json_rows(getattr(report, name)) for name in ("totals", "symbols", "gaps", "jumps")}
        print_json({**rows, "feeds": feeds})
    else:
        _show_check(report, chosen)
        _show_feeds(feeds)
    if not report.is_clean:
        raise typer.Exit(1)


def _check(
    workspace: Workspace, timeframe: Timeframe, first: str | None, last: str | None, symbols: list[str] | None
) -> tuple[QualityReport, dict[str, int]]:
    """What was found, and how many bars each feed gave."""
    stored = workspace.bars.sessions(timeframe)
    if not stored:
        raise InputError(f"no {timeframe.value} bars are stored in {workspace.home}. Import some: {IMPORT}")
    since, until = parse_day(first) if first else stored[0], parse_day(last) if last else stored[-1]
    if until < since:
        raise InputError(
            f"there is nothing from {since} to {until}; stored are {stored[0]} to {stored[-1]}. Import: {IMPORT}"
        )
    sessions = workspace.calendar.sessions(since, until)
    bars = workspace.bars.read(timeframe, [day for day in stored if since <= day <= until], symbols=symbols)
    if bars.empty:
        whose = f" of {', '.join(symbols)}" if symbols else ""
        raise InputError(f"no {timeframe.value} bars{whose} are stored between {since} and {until}. Import: {IMPORT}")
    table = session_table([workspace.calendar.times(day) for day in sessions])
    feeds = bars["feed"].fillna(NO_FEED).value_counts().sort_index()
    report = check_bars(bars, timeframe, table, workspace.settings.quality, workspace.bars.actions())
    return report, {str(feed): int(count) for feed, count in feeds.items()}


def _json_rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    plain = frame.astype({name: "str" for name, kind in frame.dtypes.items() if "datetime" in str(kind)})
    return [
        {str(key): (None if pd.isna(value) else value) for key, value in row.items()}
        for row in plain.to_dict(orient="records")
    ]


def _show_check(report: QualityReport, timeframe: Timeframe) -> None:
    for title, frame in (("all symbols", report.totals), ("by symbol", report.symbols)):
        heading(f"{timeframe.value} bars, {title} (columns that are zero everywhere are left out)")
        _print_frame(frame.loc[:, [name for name in frame.columns if not _is_zero(frame[name])]])
    for title, frame in (("gaps inside sessions", report.gaps), ("jumps", report.jumps)):
        heading(f"{title}: {len(frame)}" + (f", the first {SHOWN_ROWS}" if len(frame) > SHOWN_ROWS else ""))
        _print_frame(frame.head(SHOWN_ROWS))
    say("\nNothing is wrong in itself." if report.is_clean else "\nSome rows are wrong in themselves: see above.")


def _show_feeds(feeds: Mapping[str, int]) -> None:
    if set(feeds) == {NO_FEED}:
        return
    heading("what the bars were made of")
    print_table(("feed", "bars"), [(feed, f"{count:,}") for feed, count in feeds.items()])
    for feed in PARTIAL_FEEDS:
        if feed in feeds:
            say(f"Volume of {feed} is not the market's: no universe is judged by it. Daily bars: data fetch --daily")


def _is_zero(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and (column == 0).all())


def _print_frame(frame: pd.DataFrame) -> None:
    """A frame as a table: dates without a time of day, instants to the minute, counts without decimals."""
    shown = frame.copy()
    for name, kind in frame.dtypes.items():
        if "UTC" in str(kind):
            shown[name] = frame[name].dt.strftime("%Y-%m-%d %H:%M")
        elif "datetime" in str(kind):
            shown[name] = frame[name].dt.strftime("%Y-%m-%d")
    print_table([str(name).replace("_", " ") for name in frame.columns], shown.to_numpy(dtype=object).tolist())
