"""What is recorded stays: the database itself refuses to change or delete rows of these tables."""

from alembic import op

revision = "0002"
down_revision = "0001"

APPEND_ONLY = (
    "equity_points",
    "execution_reports",
    "fills",
    "intents",
    "regime_snapshots",
    "risk_decisions",
    "risk_events",
    "scan_snapshots",
    "setups",
    "trade_plans",
    "trades",
)

REFUSE_ON_POSTGRESQL = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: its rows are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    for table in APPEND_ONLY:
        refuse_changes(table)


def refuse_changes(table: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} is append-only: its rows are never changed or deleted'); END"
            )
        return
    if table == APPEND_ONLY[0]:
        op.execute(REFUSE_ON_POSTGRESQL)
    op.execute(
        f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
