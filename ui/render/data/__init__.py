"""What is known of the data of a run, and rows of it, for people."""
