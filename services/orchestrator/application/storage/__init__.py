"""What of the object store others than the orchestrator get, and for how long."""
