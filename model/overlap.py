"""How much of an evaluation text was seen in training.

Two measures, as in the analyses of contamination of GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C):

* exact: evaluation documents whose normalised text (lower case, words only) is a training document;
* 13-grams: runs of 13 words of the evaluation text that occur in the training text. Thirteen words in a row are hardly
  ever equal by chance. Documents shorter than 13 words have none and are counted apart.

Both are reported, never silently repaired: boilerplate (licences, headings) overlaps without harm, copied stories do
not, and only a person can tell. The evaluation side is kept in memory, the training side streamed past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from model.document import Document

N = 13
_WORDS = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Overlap of one evaluation set with the training text.

    exact_documents     documents that are in the training text as a whole
    ngrams, shared      13-grams of the set (each occurrence counts), and how many occur in training
    touched_documents   documents with at least one shared 13-gram
    short_documents     documents with fewer than 13 words, for which only `exact` says something
    """

    name: str
    documents: int
    exact_documents: int
    ngrams: int
    shared_ngrams: int
    touched_documents: int
    short_documents: int

    @property
    def share(self) -> float:
        """Shared 13-grams / 13-grams; 0 when there are none."""
        return self.shared_ngrams / self.ngrams if self.ngrams else 0.0


def measure_overlap(evaluation: Mapping[str, Iterable[Document]], training: Iterable[Document]) -> dict[str, Overlap]:
    """Overlap of each named evaluation set with the training documents, in one pass over them."""
    grams_of = {name: [_grams(_words(d)) for d in documents] for name, documents in _as_lists(evaluation).items()}
    whole_of = {name: [_whole(_words(d)) for d in documents] for name, documents in _as_lists(evaluation).items()}
    every = [grams for documents in grams_of.values() for grams in documents if len(grams)]
    wanted = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype=np.uint64)
    wanted_whole = {whole for documents in whole_of.values() for whole in documents}
    hit = np.zeros(len(wanted), dtype=bool)
    hit_whole: set[int] = set()
    for words in map(_words, training):
        whole = _whole(words)
        if whole in wanted_whole:
            hit_whole.add(whole)
        grams = _grams(words)
        if len(grams) and len(wanted):
            places = np.minimum(np.searchsorted(wanted, grams), len(wanted) - 1)
            hit[places[wanted[places] == grams]] = True
    seen = wanted[hit]
    result = {}
    for name, documents in grams_of.items():
        shared = [int(np.isin(grams, seen).sum()) for grams in documents]
        result[name] = Overlap(
            name=name,
            documents=len(documents),
            exact_documents=sum(whole in hit_whole for whole in whole_of[name]),
            ngrams=sum(map(len, documents)),
            shared_ngrams=sum(shared),
            touched_documents=sum(count > 0 for count in shared),
            short_documents=sum(len(grams) == 0 for grams in documents),
        )
    return result


def _as_lists(evaluation: Mapping[str, Iterable[Document]]) -> dict[str, list[Document]]:
    return {name: list(documents) for name, documents in evaluation.items()}


def _words(document: Document) -> list[str]:
    return _WORDS.findall(document.plain_text().lower())


def _whole(words: list[str]) -> int:
    return hash(tuple(words))


def _grams(words: list[str]) -> np.ndarray:
    """A 64-bit hash of every run of 13 words: a polynomial over the words' own hashes, all runs at once."""
    if len(words) < N:
        return np.zeros(0, dtype=np.uint64)
    # The hash of a str differs between processes, but both sides are hashed in this one.
    hashes = np.fromiter(map(hash, words), dtype=np.int64, count=len(words)).view(np.uint64)
    runs = len(words) - N + 1
    grams = np.zeros(runs, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for k in range(N):
            grams = grams * _MULTIPLIER + hashes[k : k + runs]
    return grams
