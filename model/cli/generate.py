"""The command behind `python -m model.cli.generate` (and `retain sample`): text from a model folder, as it is made."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from model.checkpointing.hf import check_vocabulary, load_pretrained
from model.errors import RetainModelError
from model.evaluation.generate import generate
from model.tokenization.tokenizer import Tokenizer

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    options = _parser().parse_args(arguments)
    try:
        model, tokenizer = load_pretrained(Path(options.model)), Tokenizer.load(options.model)
        check_vocabulary(model.config, tokenizer)
        prompt = [{"role": "user", "content": options.prompt}] if options.chat else options.prompt
        pieces = generate(
            model, tokenizer, prompt, options.max_new_tokens, options.temperature, options.top_k or None, options.seed
        )
        if options.json:
            print(json.dumps({"prompt": options.prompt, "text": "".join(pieces)}, ensure_ascii=False))
            return 0
        print(options.prompt, end="" if not options.chat else "\n")
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model.cli.generate", description="Generate text from a model folder."
    )
    parser.add_argument("model", help="folder in Hugging Face's layout")
    parser.add_argument("--prompt", required=True, help="text to continue")
    parser.add_argument("--chat", action="store_true", help="put the prompt into the chat template as the user's turn")
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.8, help="0 is greedy")
    parser.add_argument("--top-k", type=int, default=50, help="only the likeliest so many; 0 is all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
