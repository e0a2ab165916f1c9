"""Benchmarks: figures printed as tables, never asserted. `make bench` runs all of them."""
