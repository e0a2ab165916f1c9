"""What a plan knows of families that transformers computes: how large they are, and what is done otherwise."""
