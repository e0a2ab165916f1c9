"""Work beside other work: blocking calls in threads, signs of life, background tasks and how they end."""
