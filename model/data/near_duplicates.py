"""Near copies: training documents that are an evaluation document but for a few words.

Two texts are alike as far as their sets of 5-word runs are: the Jaccard index, common runs / all runs. MinHash (Broder
1997, On the resemblance and containment of documents) estimates it from signatures of fixed size, here 64 permutations,
about +-0.06 at 0.8; locality-sensitive hashing finds those above a threshold without comparing everything with
everything (`datasketch`).

A text of which 80 % of the 5-word runs are an evaluation document's has 13 words in a row with it, so that only
documents with a common 13-gram (which `model.data.contamination` looks for anyway) are compared: of real text a few. Of
text from templates they are many: then the first 256 are, every other one of the next 256, every fourth of the next
512, and so on, which bounds the cost to 128 comparisons for each doubling of the data.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasketch import MinHash

RUN_WORDS = 5
PERMUTATIONS = 64
THRESHOLD = 0.8
_FULLY_COMPARED_BITS = 8  # 256 documents
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class NearCopies:
    """Finds near copies of the documents of each named evaluation set. `compared` and `alike` count the training
    documents that were compared, and those that could have been."""

    def __init__(self, sets: Mapping[str, Iterable[Sequence[str]]]) -> None:
        """sets: the words of each document."""
        from datasketch import MinHashLSH  # here: it takes half a second, which only those who measure need spend

        self._index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._signatures: dict[tuple[str, int], MinHash] = {}
        self._found: dict[str, set[int]] = {name: set() for name in sets}
        self.alike = self.compared = 0
        for name, documents in sets.items():
            for place, words in enumerate(documents):
                if len(words) >= RUN_WORDS:
                    self._signatures[name, place] = signature = _signature(words)
                    self._index.insert((name, place), signature)

    def see(self, words: Sequence[str]) -> None:
        """Look at a training document that shares a 13-gram with one of the sets."""
        number = self.alike
        self.alike += 1
        if number % (1 << max(0, number.bit_length() - _FULLY_COMPARED_BITS)):
            return
        self.compared += 1
        signature = _signature(words)
        for name, place in self._index.query(signature):
            if signature.jaccard(self._signatures[name, place]) >= THRESHOLD:
                self._found[name].add(place)

    def found(self, name: str) -> tuple[int, ...]:
        """Places in a set of the documents of which a near copy was seen."""
        return tuple(sorted(self._found[name]))


def _signature(words: Sequence[str]) -> MinHash:
    from datasketch import MinHash

    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words), dtype=np.uint64)
    runs = np.zeros(len(hashes) - RUN_WORDS + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for k in range(RUN_WORDS):
            runs = runs * _MULTIPLIER + hashes[k : k + len(runs)]
    # The hashes are made above, all at once; MinHash takes 32 bits.
    signature = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    signature.update_batch(np.unique(runs >> np.uint64(32)).tolist())
    return signature
