"""Migrations of the orchestrator's database, run at every start by adapters/database.py."""
