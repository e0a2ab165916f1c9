"""Tests of how Retain is started and shipped."""
