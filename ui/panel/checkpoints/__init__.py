"""The page of checkpoints: by stage and domain, where each comes from, what it measures, two side by side."""
