"""How much of an evaluation text was seen in training.

Three measures, the first two as in the analyses of contamination of GPT-3 (Brown et al. 2020, arXiv:2005.14165,
appendix C):

* exact: evaluation documents whose words (lower case, without punctuation) are those of a training document;
* 13-grams: runs of 13 words of the evaluation text that occur in the training text. Thirteen words in a row are hardly
  ever equal by chance. Documents shorter than 13 words have none and are counted apart;
* near: evaluation documents of which a training document is a near copy (`model.data.near_duplicates`).

All are reported, never silently repaired: boilerplate (licences, headings) overlaps without harm, copied stories do
not, and only a person can tell. (Copies in the sense of `model.content` are not among them: they are left out of
training, see `model.data.held_out`.) The evaluation side is kept in memory, the training side streamed past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from model.data.near_duplicates import NearCopies
from model.document import Document

N = 13
_WORDS = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Overlap of one evaluation set with the training text.

    exact, near         places in the set of the documents that are in the training text as a whole, or nearly (the
                        exact ones of 13 words and more included)
    ngrams, shared      13-grams of the set (each occurrence counts), and how many occur in training
    touched_documents   documents with at least one shared 13-gram
    short_documents     documents with fewer than 13 words, for which only `exact` says something
    """

    name: str
    documents: int
    exact: tuple[int, ...]
    near: tuple[int, ...] = ()
    ngrams: int
    shared_ngrams: int
    touched_documents: int
    short_documents: int

    @property
    def exact_documents(self) -> int:
        """Documents that are in the training text as a whole."""
        return len(self.exact)

    @property
    def share(self) -> float:
        """Shared 13-grams / 13-grams; 0 when there are none."""
        return self.shared_ngrams / self.ngrams if self.ngrams else 0.0


class OverlapMeter:
    """Measures the overlap of each named evaluation set with the training documents that pass it by."""

    def __init__(self, evaluation: Mapping[str, Iterable[Document]]) -> None:
        words_of = {name: [_words(document) for document in documents] for name, documents in evaluation.items()}
        self._grams_of = {name: [_grams(words) for words in documents] for name, documents in words_of.items()}
        self._whole_of = {name: [_whole(words) for words in documents] for name, documents in words_of.items()}
        every = [grams for documents in self._grams_of.values() for grams in documents if len(grams)]
        self._wanted = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype=np.uint64)
        self._near = NearCopies(words_of)
        self._wanted_whole = {whole for documents in self._whole_of.values() for whole in documents}
        self._hit = np.zeros(len(self._wanted), dtype=bool)
        self._hit_whole: set[int] = set()

    def passing(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The training documents as they are, each looked at."""
        for document in documents:
            self.see(document)
            yield document

    def see(self, document: Document) -> None:
        """Look at one training document."""
        words = _words(document)
        whole = _whole(words)
        if whole in self._wanted_whole:
            self._hit_whole.add(whole)
        grams = _grams(words)
        if len(grams) and len(self._wanted):
            places = np.minimum(np.searchsorted(self._wanted, grams), len(self._wanted) - 1)
            hits = places[self._wanted[places] == grams]
            if len(hits):
                self._hit[hits] = True
                self._near.see(words)

    def result(self) -> dict[str, Overlap]:
        """The overlap of each set with everything that has passed."""
        seen = self._wanted[self._hit]
        return {name: self._of(name, seen) for name in self._grams_of}

    def _of(self, name: str, seen: np.ndarray) -> Overlap:
        grams_of, whole_of = self._grams_of[name], self._whole_of[name]
        shared = [int(np.isin(grams, seen).sum()) for grams in grams_of]
        return Overlap(
            name=name,
            documents=len(grams_of),
            exact=tuple(place for place, whole in enumerate(whole_of) if whole in self._hit_whole),
            near=self._near.found(name),
            ngrams=sum(map(len, grams_of)),
            shared_ngrams=sum(shared),
            touched_documents=sum(count > 0 for count in shared),
            short_documents=sum(len(grams) == 0 for grams in grams_of),
        )


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
