"""The page of a new pipeline: the form beside the text, and what the server says of both."""
