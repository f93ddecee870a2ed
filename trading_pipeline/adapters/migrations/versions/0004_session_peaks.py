"""The highest equity of a session, for the breaker's drawdown."""

import sqlalchemy as sa
from alembic import op

from trading_pipeline.adapters.tables import types

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "session_peaks",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("equity_usd", types.Derived(), nullable=False),
        sa.Column("reached_at", types.UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("account", "session", name=op.f("pk_session_peaks")),
    )
