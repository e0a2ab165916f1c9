"""`python -m model.cli.gguf_export FOLDER FILE` (and `retain export --format gguf`): a model folder as a GGUF file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import RetainModelError
from model.gguf.file import write_gguf

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    parser = argparse.ArgumentParser(prog="python -m model.cli.gguf_export", description=__doc__)
    parser.add_argument("model", help="folder in Hugging Face's layout")
    parser.add_argument("file", help="the file to write; there must be none")
    parser.add_argument("--name", default="", help="name for people; default: the folder's")
    options = parser.parse_args(arguments)
    try:
        write_gguf(Path(options.model), Path(options.file), name=options.name)
    except (RetainModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
