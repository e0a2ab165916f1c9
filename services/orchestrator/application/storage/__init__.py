"""What of the object store others than the orchestrator get, for how long, and what is kept there for them."""
