"""First figures: `make bench` measures the parts that cost time, each in a process of its own, and writes a page."""
