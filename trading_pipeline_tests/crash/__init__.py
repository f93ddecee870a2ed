"""Crashes on purpose: real processes killed at every side effect, restarted, and compared with the uncrashed run."""
