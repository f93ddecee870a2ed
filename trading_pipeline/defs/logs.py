"""Where runs started by the command line log to."""

import logging

import dagster as dg

RUN_LOGGER = "trading_pipeline.runs"
QUIET = "quiet"


@dg.logger(None, "Run events as Python log records.")
def run_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """The logger of runs started by the command line; a progress display may listen to it."""
    logger = logging.getLogger(RUN_LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
