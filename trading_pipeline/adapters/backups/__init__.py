"""Backups of the record: whole, verified, in one format for SQLite and PostgreSQL, and never overwritten.

A backup is a folder named by its instant: the ledger as one SQLite file whatever database it came from, what the
brokers' adapters keep beside it, and a manifest that is written last.
"""
