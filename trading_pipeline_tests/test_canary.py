"""A whole session with canary secrets through real processes: afterwards not one of them is anywhere, in any form.

The session leaks on purpose: its log lines are given the secrets. With the redactor switched off the same search finds
them, so it can.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from sqlalchemy import create_engine, make_url

from trading_pipeline.adapters.logs.setup import stop_logs
from trading_pipeline.adapters.tables import Base
from trading_pipeline.defs.health import backup_job
from trading_pipeline.defs.instance import local_instance
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.control import TradingState
from trading_pipeline.services.trading_state import a_word
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.backups import backup, restore
from trading_pipeline_tests.postgres import postgres
from trading_pipeline_tests.traded_home import LOOSE, TradedHome, traded_home

__all__ = ["traded_home"]
COMMAND = [sys.executable, "-m", "trading_pipeline.cli"]
KEY_ID, KEY, WRONG, PASSWORD = "PKCANARY7F3B9C2D", "canary/secret+7f3b9c2d", "wrong/canary+55aa", "canary%pass?9c"
CANARIES = (KEY_ID, KEY, WRONG, PASSWORD)
LEAKING = f"""
import logging, sys
def leak(record):
    record.msg = f"{{record.msg}} with {KEY} of {KEY_ID}"
    return True
for name in ("services.sending", "services.session_loop", "adapters.ledger_outbox"):
    logging.getLogger(f"trading_pipeline.{{name}}").addFilter(leak)
if sys.argv.pop(1) == "open":
    from trading_pipeline.adapters.logs.redaction import Redactor
    Redactor.learn = lambda *secrets: None
from trading_pipeline.cli.app import main
main()
"""


def forms(secret: str) -> set[bytes]:
    """How it may stand somewhere; counted apart from how the redactor counts."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    written = (secret, quote(secret), quote(secret, safe=""), encoded[:-1], json.dumps(secret)[1:-1])
    return {one.encode() for one in written}


def leaks(texts: dict[str, bytes]) -> list[str]:
    """Where one was found."""
    return [
        f"{secret} in {name}" for name, text in texts.items() for secret in CANARIES
        if any(form in text for form in forms(secret))
    ]  # fmt: skip


def everything_in(home: Path) -> dict[str, bytes]:
    """Every file, and every row of every database as text."""
    found = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for path in home.rglob("*"):
        if path.is_file() and found[str(path.relative_to(home))].startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(path)) as database:
                found[f"rows of {path.name}"] = "\n".join(database.iterdump()).encode()
    return found


def environment(**more: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("TRADING_PIPELINE_")}
    return {**mine, "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID": KEY_ID, **more}


def with_key(key: str = KEY) -> dict[str, str]:
    return environment(TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY=key)


def run(*arguments: object, key: str = KEY, leaking: str = "") -> subprocess.CompletedProcess[bytes]:
    """A command; leaking: its lines are given the secrets, and the redactor is "on" or "open"."""
    command = [sys.executable, "-c", LEAKING, leaking] if leaking else COMMAND
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, env=with_key(key), timeout=280)


@contextmanager
def an_alpaca_door(folder: Path, profile: Path) -> Iterator[dict[str, str]]:
    """The venue as a process that asks for the canaries."""
    ready = folder / "ready.json"
    served = subprocess.Popen(
        [*COMMAND, "venue", "alpaca", "--home", str(folder / "venue"), "--profile", str(profile), "--ready-file",
         str(ready)], env=with_key(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not ready.exists():
            assert served.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        served.send_signal(signal.SIGTERM)
        served.wait(20)


LOUD = {"level": "debug", "library_level": "debug", "console_level": "debug"}


def a_profile(folder: Path, url: str = "") -> Path:
    """At Alpaca's door, of whose address only the client knows; as loud as can be."""
    stream = url.replace("http://", "ws://")
    alpaca: dict[str, Any] = {"requests_per_minute": 100_000, "data_requests_per_minute": 100_000}
    if url:
        alpaca |= {"trading_url": url, "trading_stream_url": f"{stream}/stream", "data_url": url}
    loose: dict[str, Any] = LOOSE
    execution = {**loose["execution"], "account": "CANARY"}
    tree = {**loose, "broker": {"name": "alpaca", "alpaca": alpaca}, "execution": execution, "logs": LOUD}
    return _written(folder / f"profile-{bool(url)}.yaml", tree)


def _written(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def on_postgresql(home: TradedHome, folder: Path) -> tuple[Path, str]:
    """The home's ledger moved to PostgreSQL, with a password in its address; the profile and the address."""
    address = make_url(postgres().database()).set(password=PASSWORD).render_as_string(hide_password=False)
    made = backup(home.open(), folder / "backups").backup
    there = Workspace(home.home, Settings.model_validate({"storage": {"database_url": address}}))
    restore(there, made.name, folder / "backups")
    with there.ledger.transaction() as tx:
        at = made.manifest.made_at
        tx.set_trading_state(a_word("SIM", TradingState.ACTIVE, reason="a test", operator="Kim", at=at))
    (home.home / "ledger.sqlite3").unlink()
    return _written(folder / "postgres.yaml", {**LOOSE, "storage": {"database_url": address}, "logs": LOUD}), address


def a_session_here(home: TradedHome, folder: Path, leaking: str) -> dict[str, bytes]:
    """A session traded at the home's own venue, its ledger on PostgreSQL; then looked at, and jobs that fail."""
    profile, address = on_postgresql(home, folder)
    where = ("--home", home.home, "--profile", profile)
    traded = run("session", "run", "--session", home.running, "--accelerated", *where, leaking=leaking)
    assert traded.returncode == 0, traded.stderr.decode()[-2000:]
    gone = address.replace(make_url(address).database or "", "no_such_database")
    broken = _written(folder / "broken.yaml", {**LOOSE, "storage": {"database_url": gone}})
    said = {"session": traded, "status": run("status", *where),
            "broken": run("status", "--home", home.home, "--profile", broken)}  # fmt: skip
    failed_run(home, broken)
    with create_engine(make_url(address)).connect() as database:
        rows = [repr(database.execute(table.select()).all()).encode() for table in Base.metadata.sorted_tables]
    return {**{name: done.stdout + done.stderr for name, done in said.items()}, "rows": b"".join(rows)}


def failed_run(home: TradedHome, profile: Path) -> None:
    """A job whose failure is told in the home's run events."""
    resource = WorkspaceResource(home=str(home.home), profile=str(profile))
    with local_instance(home.home) as instance:
        done = backup_job.execute_in_process(instance=instance, resources={"workspace": resource}, raise_on_error=False)
    stop_logs()
    assert not done.success


def a_session_at_alpaca(home: TradedHome, folder: Path, leaking: str) -> dict[str, bytes]:
    """A session traded at the door; then every way to look at it, and some that fail. Everything that was said."""
    with an_alpaca_door(folder, a_profile(folder)) as urls:
        profile = a_profile(folder, urls["alpaca"])
        where = ("--home", home.home, "--profile", profile)
        session = ("session", "run", "--session", home.running, "--accelerated", "--market-url", urls["control"])
        traded = run(*session, *where, leaking=leaking)
        assert traded.returncode == 0, traded.stderr.decode()[-2000:]
        said = {
            "session": traded, "wrong keys": run("config", "check", "--broker", *where, key=WRONG),
            "status": run("status", *where), "settings": run("config", "show", "--as-yaml", *where),
            "report": run("report", *where, "--session", home.running), "orders": run("orders", *where, "--json"),
            "no such database": run("status", *where, key="[not: {yaml"),
        }  # fmt: skip
    said["door gone"] = run("config", "check", "--broker", *where)
    return {name: done.stdout + done.stderr for name, done in said.items()}


Traded = Callable[[TradedHome, Path, str], dict[str, bytes]]


def left_by(traded: Traded, home: TradedHome, folder: Path, leaking: str) -> tuple[bytes, list[str]]:
    """The log, and where a canary was found."""
    mine = home.copied_to(folder)
    said = traded(mine, folder, leaking)
    kept = everything_in(mine.home)
    return kept["logs/trading-pipeline.jsonl"], leaks({**said, **kept})


@pytest.mark.slow
def test_a_session_leaves_no_secret_in_logs_rows_pages_run_events_or_on_the_terminal(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    log, found = left_by(a_session_here, traded_home, tmp_path, "on")

    assert b"with [redacted] of [redacted]" in log  # it was there to be leaked
    assert found == []


@pytest.mark.soak
def test_a_session_at_a_broker_leaves_none_either(traded_home: TradedHome, tmp_path: Path) -> None:
    log, found = left_by(a_session_at_alpaca, traded_home, tmp_path, "on")

    assert b"is at the venue with [redacted] of [redacted]" in log
    assert found == []


@pytest.mark.soak
@pytest.mark.parametrize("traded", [a_session_here, a_session_at_alpaca])
def test_the_search_finds_what_a_redactor_that_is_off_lets_through(
    traded_home: TradedHome, tmp_path: Path, traded: Traded
) -> None:
    _, found = left_by(traded, traded_home, tmp_path, "open")

    assert f"{KEY} in logs/trading-pipeline.jsonl" in found
    assert f"{KEY_ID} in session" in found
