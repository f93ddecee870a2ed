"""Every database error becomes a LedgerError that says what to do next."""

from __future__ import annotations

from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError

from trading_pipeline.domain.errors import LedgerConflict, LedgerError, LedgerUnavailable, TradingPipelineError

ADVICE = {
    "SQLITE_BUSY": "is locked by another process. Wait for it to end (or stop it), then run the command again",
    "SQLITE_LOCKED": "is locked by another connection. Wait for it to end, then run the command again",
    "SQLITE_FULL": "cannot grow: the disk is full. Free some space, then run the command again",
    "SQLITE_IOERR": "cannot be read or written: the disk reported an error. Check the disk and its free space",
    "SQLITE_READONLY": "is read-only. Make the file and its folder writable for this user",
    "SQLITE_CANTOPEN": "cannot be opened. Check that its folder exists and is writable for this user",
    "SQLITE_PERM": "cannot be opened. Make the file and its folder writable for this user",
    "SQLITE_NOTADB": "is not a ledger: the file is damaged or something else. Restore a backup or move it away",
    "SQLITE_CORRUPT": "is damaged. Keep the file, and restore the newest backup in its place",
}

BROKEN_RULES = {
    "SQLITE_CONSTRAINT_FOREIGNKEY": "a row names another row that is not recorded: record what caused it first",
    "23503": "a row names another row that is not recorded: record what caused it first",
    "SQLITE_CONSTRAINT_CHECK": "a value is out of bounds",
    "23514": "a value is out of bounds",
    "SQLITE_CONSTRAINT_NOTNULL": "a value is missing",
    "23502": "a value is missing",
    "23001": "recorded rows of this table are never changed or deleted",
    "SQLITE_CONSTRAINT_TRIGGER": "recorded rows of this table are never changed or deleted",
}

DUPLICATES = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505"})


def ledger_error(error: BaseException, place: str) -> LedgerError | None:
    """What to raise instead of a driver's error; None when it is not the driver's."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "pgcode", None) or ""
    if name in DUPLICATES:
        return LedgerConflict(f"the ledger {place} refused a second row with the same identity: {error}")
    if name in BROKEN_RULES:
        return LedgerError(f"the ledger {place} refused a row: {BROKEN_RULES[name]} ({error})")
    for code, advice in ADVICE.items():
        if name.startswith(code):
            return LedgerUnavailable(f"the ledger {place} {advice} ({error}). Nothing was half written.")
    return LedgerError(f"the ledger {place} failed: {error}. Nothing was half written.")


def translate(context: ExceptionContext, url: URL) -> TradingPipelineError | None:
    """SQLAlchemy's handle_error hook: our own errors pass as they are, the driver's are explained."""
    original = context.original_exception
    if isinstance(original, TradingPipelineError):
        return original
    if isinstance(context.sqlalchemy_exception, DBAPIError):
        return ledger_error(original, place_of(url))
    return None


def place_of(url: URL) -> str:
    """Where the ledger is, for people: the file, or the URL without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
