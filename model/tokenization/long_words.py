"""Words without end, in the training of a tokenizer.

Byte-pair encoding counts words and joins letters within them, and its time grows faster than the length of a word: a
quarter of a million letters of a genome in one line took 83 s, five megabytes of them had no end in sight. A word of
more than LONGEST_WORD characters is therefore counted as several. Nothing is left out, and no text of a language with
spaces changes; only merges across the cuts, one in 256 places, cannot be learnt. Encoding has no such bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST_WORD = 256
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}|\s{{{LONGEST_WORD + 1},}}")


class ShortWords:
    """Texts whose words, and whose runs of white space, have at most LONGEST_WORD characters: a text with longer ones
    comes in several pieces. texts, characters, long_words: counted as they pass."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.texts = self.characters = self.long_words = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.texts += 1
            self.characters += len(text)
            begin = 0
            for word in _LONG.finditer(text):
                self.long_words += 1
                for end in range(word.start() + LONGEST_WORD, word.end(), LONGEST_WORD):
                    yield text[begin:end]
                    begin = end
            yield text[begin:]

    def note(self) -> str | None:
        """What people should know about it, or None."""
        if not self.long_words:
            return None
        what = f"words or blanks of more than {LONGEST_WORD} characters"
        return f"tokenizer: {self.long_words:,} {what} were counted in pieces of {LONGEST_WORD}"
