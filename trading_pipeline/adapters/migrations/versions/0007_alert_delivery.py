"""What became of an alert: deliveries, acknowledgements, escalation."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Filled together with its tables."""
