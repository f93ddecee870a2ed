"""The audit log: entries get their number, checkpoints are signed and anchored; what was written can be verified."""
