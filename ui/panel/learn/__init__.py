"""The live pieces of the page Learn."""
