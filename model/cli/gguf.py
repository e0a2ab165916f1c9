"""`python -m model.cli.gguf FILE DIR`: a GGUF file as a Hugging Face folder, which `retain import` takes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import RetainModelError
from model.families.gguf import convert_gguf

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with what was got and what was expected on standard error."""
    parser = argparse.ArgumentParser(prog="python -m model.cli.gguf", description=__doc__)
    parser.add_argument("file", type=Path, help="GGUF file")
    parser.add_argument("folder", type=Path, help="new folder, in Hugging Face's layout")
    options = parser.parse_args(arguments)
    try:
        convert_gguf(options.file, options.folder)
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    print(options.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
