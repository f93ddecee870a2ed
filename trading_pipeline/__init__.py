"""A Dagster-orchestrated data-and-trading pipeline for US equities."""
