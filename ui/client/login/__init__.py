"""Logging in to an identity provider from a terminal: how (device_flow), where it is kept (store), how it stays good
(session).

None of it is loaded before somebody logs in or has logged in, and what it needs comes with the extra `login`.
"""
