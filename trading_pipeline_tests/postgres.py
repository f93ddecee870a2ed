"""A real PostgreSQL for tests: pip-installed, started once per test process, a fresh database whenever asked."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text

GIVEN = "TEST_POSTGRES_URL"
"""Names a server to use instead (a user that may create databases)."""


class PostgresForTests:
    """A server and the databases made on it."""

    def __init__(self, url: str) -> None:
        self._url: URL = make_url(url).set(drivername="postgresql+psycopg2")
        self._admin: Engine = create_engine(self._url, isolation_level="AUTOCOMMIT")

    def database(self, template: str = "template0") -> str:
        """URL of a new database, empty or a copy of another."""
        name = f"test_{uuid.uuid4().hex}"
        with self._admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove a database and whoever is connected to it."""
        with self._admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)'))


class OwnServer(PostgresForTests):
    """A server of its own, gone with this process. durable: with fsync, as in production."""

    def __init__(self, *, durable: bool = False) -> None:
        self._pgserver = pytest.importorskip("pgserver", reason=f"pgserver is not installed and {GIVEN} is not set")
        self._folder = Path(tempfile.mkdtemp(prefix="tp-postgres-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self.start()
        super().__init__(self._server.get_uri())
        if not durable:
            with self._admin.connect() as connection:
                connection.execute(text("ALTER SYSTEM SET fsync = off"))
                connection.execute(text("SELECT pg_reload_conf()"))

    def start(self) -> None:
        """Start it, again if it was stopped."""
        self._server = self._pgserver.get_server(self._folder / "data", cleanup_mode="stop")

    def stop(self) -> None:
        """Stop it and cut every connection; what was committed is kept."""
        self._server.cleanup()


@cache
def postgres() -> PostgresForTests:
    """This process's server; skips the test, with the reason, where there is none."""
    return PostgresForTests(os.environ[GIVEN]) if os.environ.get(GIVEN) else OwnServer()
