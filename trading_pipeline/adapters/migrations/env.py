"""Run by Alembic; the connection and its transaction belong to the caller."""

from __future__ import annotations

from alembic import context

from trading_pipeline.adapters.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite too: a migration happens whole or not at all
)
with context.begin_transaction():
    context.run_migrations()
