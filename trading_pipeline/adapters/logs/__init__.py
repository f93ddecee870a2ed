"""Logs of a process, and secrets kept out of them.

This package itself imports nothing: the command line takes the redactor from it before anything heavy is loaded.
"""
