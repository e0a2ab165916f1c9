"""Sweeps: one specification with several values of some fields, and several seeds, as labelled runs and one table."""
