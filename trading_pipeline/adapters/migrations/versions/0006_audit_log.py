"""The audit log: entries, checkpoints, keys."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Filled together with its tables."""
