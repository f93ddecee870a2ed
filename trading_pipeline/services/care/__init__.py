"""Guarding what is held: marks, trailing stops, expiring entries, exits, protection, splits."""

from trading_pipeline.services.care.asking import Quotes as Quotes
from trading_pipeline.services.care.entries_expiry import cancel_stale_entries as cancel_stale_entries
from trading_pipeline.services.care.exits import exit_due as exit_due
from trading_pipeline.services.care.exits import start_exit as start_exit
from trading_pipeline.services.care.marks import mark_positions as mark_positions
from trading_pipeline.services.care.night import alarm_unprotected as alarm_unprotected
from trading_pipeline.services.care.night import protect_overnight as protect_overnight
from trading_pipeline.services.care.night import release_day_legs as release_day_legs
from trading_pipeline.services.care.partial_profit import take_partial_profits as take_partial_profits
from trading_pipeline.services.care.partial_profit import write_partial_sales as write_partial_sales
from trading_pipeline.services.care.protection import guard_protection as guard_protection
from trading_pipeline.services.care.requests import request_exit as request_exit
from trading_pipeline.services.care.splits import apply_splits as apply_splits
from trading_pipeline.services.care.splits import flag_unannounced_splits as flag_unannounced_splits
from trading_pipeline.services.care.trailing import entry_costs_per_share as entry_costs_per_share
from trading_pipeline.services.care.trailing import trail_stops as trail_stops
