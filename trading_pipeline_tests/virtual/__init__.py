"""Whole sessions on a virtual clock, one after another, with something going wrong every half hour."""
