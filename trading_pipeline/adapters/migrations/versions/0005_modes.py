"""Modes, operators, gate reports and approvals."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Filled together with its tables."""
