"""What is chosen by what was tried, before a stage trains."""
