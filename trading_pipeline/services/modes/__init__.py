"""Modes: where an account stands, the evidence for more, who approves it, and the change itself."""
