"""The command behind `retain answers`: questions of a chat source that nothing was trained on, with their answers.

    python -m model.cli.questions sample://exchanges?domain=math --limit 5

With --json one document: `{"source", "questions": [{"prompt", "expected"}]}`. Needs no server and no torch.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from model.data.roles import field_options
from model.data.sources import open_source
from model.data.unseen import unseen_questions
from model.errors import RetainModelError
from retain.values.faults import mismatch

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    parser = argparse.ArgumentParser(prog="python -m model.cli.questions", description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="sample://..., a file or folder, hf://...")
    parser.add_argument("--fields", default="{}", help="JSON: messages, or prompt and completion -> the source's own")
    parser.add_argument("--limit", type=int, default=24, help="at most so many")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(arguments)
    if options.limit < 1:
        parser.error(f"--limit: {mismatch(options.limit, 'a whole number from 1')}")
    try:
        named = field_options(json.loads(options.fields), "chat", options.source)
        questions = unseen_questions(open_source(options.source, options=named), limit=options.limit)
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.json:
        document = {"source": options.source, "questions": [asdict(question) for question in questions]}
        print(json.dumps(document, ensure_ascii=False))
    else:
        for question in questions:
            print(f"{question.prompt}\n{textwrap.indent(question.expected, '    ')}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
