"""The verbs of the `retain` command, a file per family. Each module imports what is slow inside its verbs only."""
