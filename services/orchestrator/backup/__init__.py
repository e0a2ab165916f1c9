"""Backup and restore of an installation: its database and its bucket, with every digest verified."""
