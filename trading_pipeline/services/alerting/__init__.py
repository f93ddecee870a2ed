"""Delivery of alerts: off the trading path, durable, through whichever channel lives."""
