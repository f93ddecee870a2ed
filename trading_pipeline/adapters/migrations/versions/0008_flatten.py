"""That positions are to be closed, beside the trading state: a latch file alone is forgotten with its machine."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("trading_states", sa.Column("flattens", sa.Boolean(), server_default=sa.false(), nullable=False))
