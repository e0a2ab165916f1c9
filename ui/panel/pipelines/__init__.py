"""The page of all pipelines: what needs a person, the progress table, and the runs, page by page."""
