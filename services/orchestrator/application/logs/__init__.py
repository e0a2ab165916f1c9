"""The log lines of a run's workers: read from where they are wanted on, in bounded memory."""
