"""Domain data sets: code, mathematics, science.

Why a domain needs data of its own: general text holds little code and less mathematics, and a model gets good at what
it sees. Codex is GPT-3 trained further on code (Chen et al. 2021, arXiv:2107.03374), Minerva is PaLM trained further
on scientific text with its formulas kept whole (Lewkowycz et al. 2022, arXiv:2206.14858), Code Llama is Llama 2
trained further on code (Rozière et al. 2023, arXiv:2308.12950). All three filtered hard: a smaller clean set beats a
larger dirty one.

Each data set wraps a source, keeps what fits its options, and gives every document a difficulty, so that a curriculum
can order it (see `model.difficulty` for how it is measured). It is a source itself: what packs `sample://code` packs
a `CodeDataset` too.

    python -m model.data.domains      # what each of them holds here, measured
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from model.data.difficulty import code_difficulty, readability_difficulty
from model.data.sources import Source, open_source
from model.data.sources.files import LANGUAGES
from model.data.sources.science_texts import FIELDS
from model.document import DIFFICULTY_HIGH, DIFFICULTY_LOW, Document
from model.errors import BadSource


class DomainDataset(Source):
    """A source seen as a domain. Subclasses say what belongs to it and how hard it is."""

    domain: ClassVar[str]
    description: ClassVar[str]
    default_source: ClassVar[str]
    use_cases: ClassVar[tuple[str, ...]]
    measure: ClassVar[str]  # how difficulty is measured, for people

    def __init__(self, source: str | Source | None, chosen: Mapping[str, Any]) -> None:
        """source: a URI, an open source, or None for the sample; chosen: the data set's own options."""
        self.source = source if isinstance(source, Source) else open_source(source or self.default_source)
        self.uri, self.kind, self.chosen = self.source.uri, self.source.kind, dict(chosen)
        if self.kind != "text":
            raise BadSource(field=self.uri, got="conversations", expected=f"text for the domain {self.domain}")
        self.options = {**self.source.options, "domain": self.domain, **self.chosen}

    def accepts(self, document: Document) -> bool:
        """Whether the document belongs to the data set; its difficulty is known by then."""
        return True

    def rate(self, document: Document) -> float | None:
        """Difficulty of a document that has none yet, or None if it cannot be told."""
        return None

    def documents(self) -> Iterator[Document]:
        """The documents that belong, each with its difficulty. Raises BadSource when there are none at all."""
        found = False
        for document in self.source:
            rated = document if document.difficulty is not None else replace(document, difficulty=self.rate(document))
            if self.accepts(rated):
                found = True
                yield rated
        if not found:
            raise BadSource(
                field=f"{self.uri} as {self.domain}", got="no document that fits", expected=str(self.chosen)
            )

    def place(self) -> str:
        """That of the source."""
        return self.source.place()

    def fingerprint(self) -> str:
        """That of the source; the options are part of the digest anyway."""
        return self.source.fingerprint()

    def size_hint_bytes(self) -> int | None:
        """That of the source."""
        return self.source.size_hint_bytes()

    def notes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self.source.notes()

    def info(self, *, sample_documents: int | None = 500) -> dict[str, Any]:
        """What the data set is, and what it really holds: counted over `sample_documents` documents (None: all)."""
        documents = size = 0
        levels: Counter[int] = Counter()
        for document in self:
            documents += 1
            size += len(document.plain_text().encode("utf-8", "surrogatepass"))
            if document.difficulty is not None:
                levels[round(document.difficulty)] += 1
            if documents == sample_documents:
                break
        return {
            "domain": self.domain,
            "description": self.description,
            "source": self.uri,
            "options": dict(self.chosen),
            "difficulty": self.measure,
            "use_cases": list(self.use_cases),
            "documents": documents,
            "complete": documents != sample_documents,
            "bytes": size,
            "documents_by_level": {level: levels[level] for level in sorted(levels)},
        }

    def get_domain_info(self) -> dict[str, Any]:
        """The same as `info()`."""
        return self.info()


class CodeDataset(DomainDataset):
    """Programs in the given languages. Difficulty from the syntax tree (Python) or the structure of the text."""

    domain = "code"
    description = "Source code, simple scripts to library internals"
    default_source = "sample://code"
    use_cases = ("completing code", "explaining programs", "writing small functions")
    measure = "branches, depth of nesting and kinds of construct in the syntax tree"

    def __init__(self, languages: Sequence[str] = ("python",), source: str | Source | None = None) -> None:
        wanted = [languages] if isinstance(languages, str) else list(languages)
        unknown = [
            language for language in wanted if not isinstance(language, str) or language.lower() not in LANGUAGES
        ]
        if unknown or not wanted:
            raise BadSource(field="languages", got=unknown or "no language", expected=", ".join(LANGUAGES))
        self.languages = [language.lower() for language in wanted]
        if source is None and self.languages != ["python"]:
            raise BadSource(
                field="languages", got=wanted, expected="python in sample://code; a source of your own for others"
            )
        super().__init__(source, {"languages": self.languages})

    def _language(self, document: Document) -> str:
        return str(document.meta.get("language", document.meta.get("lang", "python"))).lower()

    def accepts(self, document: Document) -> bool:
        """Documents in one of the languages; without a statement of language they count as Python."""
        return self._language(document) in self.languages

    def rate(self, document: Document) -> float:
        """See `model.difficulty.code_difficulty`."""
        return code_difficulty(document.plain_text(), self._language(document))


class MathDataset(DomainDataset):
    """Problems with worked answers within a range of difficulty."""

    domain = "math"
    description = "Mathematical problems with worked answers, levels 1 to 5"
    default_source = "sample://math"
    use_cases = ("word problems", "equations", "step-by-step reasoning")
    measure = "the stated level, or the number of calculations of the worked answer"

    def __init__(
        self, difficulty_range: Sequence[float] = (DIFFICULTY_LOW, DIFFICULTY_HIGH), source: str | Source | None = None
    ) -> None:
        bounds = list(difficulty_range) if isinstance(difficulty_range, Sequence) else []
        numbers = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds)
        if len(bounds) != 2 or not numbers or not DIFFICULTY_LOW <= bounds[0] <= bounds[1] <= DIFFICULTY_HIGH:
            raise BadSource(
                field="difficulty_range", got=difficulty_range, expected="(low, high) with 1 <= low <= high <= 5"
            )
        self.difficulty_range = (float(bounds[0]), float(bounds[1]))
        super().__init__(source, {"difficulty_range": list(self.difficulty_range)})

    def accepts(self, document: Document) -> bool:
        """Documents in the range; of an unknown difficulty only when the range is the whole one."""
        low, high = self.difficulty_range
        if document.difficulty is None:
            return (low, high) == (DIFFICULTY_LOW, DIFFICULTY_HIGH)
        return low <= document.difficulty <= high


class ScienceDataset(DomainDataset):
    """Scientific texts of the given fields. Difficulty from the Flesch-Kincaid grade."""

    domain = "science"
    description = "Scientific text, school book to research article"
    default_source = "sample://science"
    use_cases = ("summaries of articles", "explaining concepts", "terminology")
    measure = "readability, the Flesch-Kincaid grade from 4 to 20"

    def __init__(self, fields: Sequence[str] | None = None, source: str | Source | None = None) -> None:
        wanted = [fields] if isinstance(fields, str) else None if fields is None else list(fields)
        if source is None:
            unknown = [field for field in wanted or () if field not in FIELDS]
            if unknown or wanted == []:
                raise BadSource(field="fields", got=unknown or "no field", expected=", ".join(FIELDS))
            source = open_source(self.default_source, options={"fields": wanted} if wanted else None)
        self.fields = wanted
        super().__init__(source, {"fields": wanted or "all"})

    def accepts(self, document: Document) -> bool:
        """Documents of the fields, by their meta `field`, `domain`, `subject` or `category`; all without a choice."""
        if self.fields is None:
            return True
        stated = {
            str(document.meta[key]).lower()
            for key in ("field", "domain", "subject", "category")
            if key in document.meta
        }
        return bool(stated.intersection(field.lower() for field in self.fields))

    def rate(self, document: Document) -> float:
        """See `model.difficulty.readability_difficulty`."""
        return readability_difficulty(document.plain_text())


DOMAINS: Mapping[str, type[DomainDataset]] = {"code": CodeDataset, "math": MathDataset, "science": ScienceDataset}


def create_domain_dataset(name: str, **options: Any) -> DomainDataset:
    """The data set of a domain: `create_domain_dataset("code", languages=["python"])`.

    Raises BadSource for an unknown domain or option, naming those that there are.
    """
    kind = DOMAINS.get(str(name).lower())
    if kind is None:
        raise BadSource(field="domain", got=name, expected=", ".join(DOMAINS))
    allowed = list(inspect.signature(kind).parameters)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise BadSource(field=f"options of {name}", got=", ".join(unknown), expected=", ".join(allowed))
    return kind(**options)


def main() -> None:
    """Prints what each sample holds."""
    for name in DOMAINS:
        facts = create_domain_dataset(name).info(sample_documents=500)
        print(f"{name}: {facts['description']}\n  source      {facts['source']}\n  difficulty  {facts['difficulty']}")
        counts = ", ".join(f"level {level}: {count}" for level, count in facts["documents_by_level"].items())
        print(f"  first {facts['documents']} documents, {facts['bytes']:,} bytes: {counts}\n")


if __name__ == "__main__":
    main()
