"""Base of the generated samples: document i is a pure function of (seed, i), on every machine and Python version."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from model.data.sources.base import Source, checked_options, whole_number
from model.document import Document


class GeneratedSource(Source):
    """`documents` documents from `seed`. Subclasses say how one is made and raise `version` when they change it."""

    version = 1

    def __init__(self, uri: str, options: Mapping[str, Any] | None, known: Mapping[str, Any]) -> None:
        self.uri = uri
        self.options = checked_options(uri, options, {"documents": 20_000, "seed": 0, **known})
        whole_number(uri, "documents", self.options["documents"], low=1)
        whole_number(uri, "seed", self.options["seed"], low=0)

    @abstractmethod
    def document(self, rng: random.Random) -> Document:
        """One document from a generator seeded for it alone."""

    def documents(self) -> Iterator[Document]:
        """All documents; nothing is kept."""
        for index in range(self.options["documents"]):
            yield self.document(
                random.Random(f"{self.uri.split('?')[0]} {self.version} {self.options['seed']} {index}")
            )

    def fingerprint(self) -> str:
        """The version of the generator; the options are part of the source's digest anyway."""
        return f"{type(self).__name__} {self.version}"
