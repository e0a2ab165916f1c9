"""The page of one run: what it shows as plain data, and the parts that draw it."""
