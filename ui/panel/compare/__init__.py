"""Runs and checkpoints side by side: what differs in their settings, their figures, forgetting against gain."""
