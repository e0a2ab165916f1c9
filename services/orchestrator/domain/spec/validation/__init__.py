"""Every fault of a spec: each with the path of its field, what it got and what was expected. Bounds are in `limits`."""
