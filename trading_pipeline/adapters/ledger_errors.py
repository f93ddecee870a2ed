"""Every database error becomes a LedgerError that says what to do next."""

from __future__ import annotations

from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError

from trading_pipeline.domain.errors import LedgerConflict, LedgerError, LedgerUnavailable, TradingPipelineError

BUSY = (
    "is being written by another process, and was for longer than we wait. See which one works on it (the session "
    "loop, another command; `fuser` names the holder of a file), let it end or stop it, then run the command again"
)
FULL = "cannot grow: the disk is full. Free some space, then run the command again"
BROKEN_DISK = "cannot be read or written: the disk reported an error. Check the disk and its free space"
GONE = (
    "lost its connection: the server stopped, restarted or cut it. Start PostgreSQL again, then run the command again: "
    "what was recorded already is not recorded twice"
)

ADVICE = {
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_FULL": FULL,
    "SQLITE_IOERR": BROKEN_DISK,
    "SQLITE_READONLY": "is read-only. Make the file and its folder writable for this user",
    "SQLITE_CANTOPEN": "cannot be opened. Check that its folder exists and is writable for this user",
    "SQLITE_PERM": "cannot be opened. Make the file and its folder writable for this user",
    "SQLITE_NOTADB": "is not a ledger: the file is damaged or something else. Restore a backup or move it away",
    "SQLITE_CORRUPT": "is damaged. Keep the file, and restore the newest backup in its place",
    "55P03": BUSY,
    "53100": FULL,
    "53300": "accepts no more connections. Stop what needs none, or raise max_connections of the server",
    "53": "has no resources left. See the server's log, and free what it lacks",
    "58": BROKEN_DISK,
    "XX": "is damaged or the server is broken. See the server's log, and restore the newest backup",
    "25006": "is read-only (a standby?). Name the primary server in storage.database_url",
    "25P03": "ended a transaction that stood still for too long (was the process stopped?). Run the command again",
    "28": "refuses this user or password. Check storage.database_url",
    "3D000": "does not exist. Create it (createdb NAME), or check storage.database_url",
    "42501": "does not allow this user to do that. Make the user the owner of the database",
    "40": "was changed by somebody else at the same time. Run the command again",
    "57": GONE,
    "08": GONE,
}  # by the beginning of SQLite's error name or of PostgreSQL's code, special ones before their class

UNREACHABLE = "cannot be reached. Start PostgreSQL, or check the host, port and user in storage.database_url"

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


def ledger_error(error: BaseException, place: str, *, is_disconnect: bool = False) -> LedgerError:
    """What to raise instead of a driver's error."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "pgcode", None) or ""
    said = " ".join(str(error).split())
    if name in DUPLICATES:
        return LedgerConflict(f"the ledger {place} refused a second row with the same identity: {said}")
    if name in BROKEN_RULES:
        return LedgerError(f"the ledger {place} refused a row: {BROKEN_RULES[name]} ({said})")
    advice = _advice(name, is_disconnect)
    if advice is None and not name and type(error).__name__ in {"OperationalError", "InterfaceError"}:
        advice = UNREACHABLE  # no server has answered: only its client speaks
    if advice is not None:
        return LedgerUnavailable(f"the ledger {place} {advice} ({said}). Nothing was half written.")
    return LedgerError(f"the ledger {place} failed: {said}. Nothing was half written.")


def _advice(name: str, is_disconnect: bool) -> str | None:
    found = next((advice for code, advice in ADVICE.items() if name.startswith(code)), None)
    return GONE if found is None and is_disconnect else found


def translate(context: ExceptionContext, url: URL) -> TradingPipelineError | None:
    """SQLAlchemy's handle_error hook: our own errors pass as they are, the driver's are explained."""
    original = context.original_exception
    if isinstance(original, TradingPipelineError):
        return original
    if isinstance(context.sqlalchemy_exception, DBAPIError):
        return ledger_error(original, place_of(url), is_disconnect=context.is_disconnect)
    return None


def place_of(url: URL) -> str:
    """Where the ledger is, for people: the file, or the URL without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
