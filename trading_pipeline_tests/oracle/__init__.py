"""Strategy rules transcribed literally: one symbol, one bar at a time, plain floats. Slow, and easy to check by eye.

The product computes the same in vectorised passes; the tests hold the two against each other on random markets.
A bar is a mapping from column to float, NaN where a value is null; a comparison with NaN is false.
"""
