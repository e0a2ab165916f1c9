"""The probe: small questions that say what a perplexity does not.

A fine-tuning can keep the perplexity of old text and still unlearn how to answer. So what it starts from and what comes
out are asked the same items, and the shares of right answers are compared item by item:

    choice   the right one of four endings has the least loss a character (`choices.py`)
    format   the answer has the form that was asked for: one word, a number, three lines ... (`prompts.py`)
    json     the answer is a JSON object with the keys that were asked for
    stop     the answer ends with the end of the turn, within its tokens: judged on every answer that was generated

Where the items come from: they were written for Retain, or are made of its own word lists by the code beside this file,
under Retain's own licence. Nothing in them is taken from elsewhere or from a benchmark, so their shares are not to be
compared with those of one: what counts is what changes from the start of a stage to its end. They are judged by code
alone (`checks.py`), never by a model.

A change of an item, or of how it is judged, makes another probe: raise VERSION with it.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache

from model.probe.choices import Choice, choices
from model.probe.prompts import Prompt, prompts

__all__ = ["VERSION", "Choice", "Prompt", "choices", "probe_digest", "prompts"]

VERSION = 1


@cache
def probe_digest() -> str:
    """SHA-256 of all items and of the version of how they are judged."""
    said = {
        "version": VERSION,
        "choices": [asdict(one) for one in choices()],
        "prompts": [asdict(one) for one in prompts()],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
