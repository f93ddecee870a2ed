"""One chain for all log lines of a process: ours, the servers' and the libraries', as text and as JSON."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import structlog

from trading_pipeline.adapters.logs.files import FileLog, SharedFile, Terminal
from trading_pipeline.adapters.logs.plain import plain, plain_json
from trading_pipeline.adapters.logs.redaction import REDACTOR, Redactor, tell_traceback
from trading_pipeline.domain.correlation import correlation
from trading_pipeline.domain.log_rules import LogRules

FOLDER, FILE = "logs", "trading-pipeline.jsonl"
OURS = "trading_pipeline"
NOT_ON_TERMINAL = (f"{OURS}.cli", f"{OURS}.adapters.ledger_outbox")
"""What the command line has told in its own way, and alarms, which `status` shows: a replay has those of weeks."""
MEGABYTE = 1_000_000
Line = MutableMapping[str, Any]
log = logging.getLogger(__name__)


def log_file(home: Path) -> Path:
    """Where a home's log lines are."""
    return home / FOLDER / FILE


def start_logs(
    home: Path, rules: LogRules, *, process: str, on_terminal: bool = True, redactor: Redactor = REDACTOR
) -> None:
    """Send every log line of this process through the chain. Called again, it begins anew; nothing is opened yet.

    process: what this process does, said on each of its lines.
    """
    root = logging.getLogger()
    stop_logs()
    file = FileLog(SharedFile(log_file(home), rules.max_megabytes * MEGABYTE, rules.files))
    file.setFormatter(chain(process, redactor, structlog.processors.JSONRenderer(ensure_ascii=False)))
    root.addHandler(file)
    if on_terminal:
        root.addHandler(_terminal(rules, process, redactor))
    root.setLevel(rules.library_level.upper())
    logging.getLogger(OURS).setLevel(rules.level.upper())
    sys.excepthook = tell_traceback
    threading.excepthook = _tell_thread
    logging.captureWarnings(capture=False)


def keep_logs(home: Path, rules: LogRules, *, process: str) -> None:
    """Start them, unless lines of this process go to that home already: for what is opened again and again."""
    begun = (one for one in logging.getLogger().handlers if isinstance(one, FileLog))
    if not any(one.stream.path == log_file(home) for one in begun):
        start_logs(home, rules, process=process)


def stop_logs() -> None:
    """Take what `start_logs` set up away again."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, FileLog | Terminal)]:
        root.removeHandler(handler)
        handler.close()


def _terminal(rules: LogRules, process: str, redactor: Redactor) -> Terminal:
    terminal = Terminal()
    terminal.setLevel(rules.console_level.upper())
    terminal.addFilter(lambda record: not record.name.startswith(NOT_ON_TERMINAL) and not _is_interruption(record))
    as_text = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=_traceback, timestamp_key="at"
    )
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    terminal.setFormatter(chain(process, redactor, as_json if rules.console == "json" else as_text))
    return terminal


def _is_interruption(record: logging.LogRecord) -> bool:
    """True where a library tells the Ctrl-C that hit it as an error of its own; it is passed on, and told once."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, Exception)


def chain(process: str, redactor: Redactor, render: Callable[..., Any]) -> logging.Formatter:
    """From a log record to a line: instant, level, logger, ids, what the caller added, traceback; secrets last."""
    is_json = isinstance(render, structlog.processors.JSONRenderer)

    def with_ids(_logger: object, _method: str, line: Line) -> Line:
        record: logging.LogRecord = line["_record"]
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        whose = {"process": process, "pid": record.process} if is_json else {}  # who looks at a terminal knows
        line.pop("message", None)  # left on the record by another handler's formatter
        said = {"at": at, "level": record.levelname.lower(), "event": str(line.pop("event")).strip()}
        return {**said, **whose, "logger": record.name, **correlation(), **line}

    def shown(_logger: object, _method: str, line: Line) -> Line:
        return {name: plain(value) if isinstance(value, str) else value for name, value in line.items()}

    def redacted(_logger: object, _method: str, text: Any) -> str:
        return redactor(plain_json(str(text)) if is_json else str(text))

    first: list[Any] = [structlog.stdlib.ExtraAdder(), with_ids]
    traced: list[Any] = [structlog.processors.format_exc_info] if is_json else [shown]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *traced, render, redacted]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=first, processors=last, keep_exc_info=False, keep_stack_info=False
    )


def _traceback(out: TextIO, error: Any) -> None:
    """As Python writes it; nothing in an error's text steers the terminal."""
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write(plain(written.getvalue(), keep="\n"))


def _tell_thread(error: threading.ExceptHookArgs) -> None:
    if error.exc_value is not None:
        log.critical(
            "thread %s ended by an error", error.thread.name if error.thread else "?", exc_info=error.exc_value
        )
