-- The trading ledger's database, beside Dagster's (POSTGRES_DB): both keep a table named alembic_version.
CREATE DATABASE trading;
