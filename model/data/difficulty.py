"""How hard a document is, from 1 (easy) to 5 (hard).

A curriculum needs an order. Each domain has a natural one:

* code: from the syntax tree. Deep nesting, many branches and many kinds of construct make a program hard to follow;
  McCabe's cyclomatic complexity (A Complexity Measure, IEEE TSE 1976) counts the branches.
* mathematics: the level that the data set states (hendrycks/MATH: "Level 3"), or the number of steps of the worked
  answer (GSM8K marks each calculation as `<<48/2=24>>`; Cobbe et al. 2021).
* science: readability. The Flesch-Kincaid grade (Kincaid et al. 1975, Navy Research Branch Report 8-75) is the school
  year in which a text can be read: 0.39 words/sentences + 11.8 syllables/words - 15.59.

General web text has no clear hierarchy; do not force one on it.
"""

from __future__ import annotations

import ast
import math
import re
import threading
import warnings
from collections.abc import Iterator

from model.errors import BadSource

_PARSING = threading.Lock()
_CALCULATION = re.compile(r"<<[^<>]*>>")
_LEVEL = re.compile(r"^\s*(?:level\s*)?([0-9]+(?:\.[0-9]+)?)\s*$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
_BRANCHES = frozenset(
    (ast.If, ast.For, ast.While, ast.IfExp, ast.ExceptHandler, ast.comprehension, ast.match_case, ast.AsyncFor)
)
_BLOCKS = frozenset(
    (
        ast.If,
        ast.For,
        ast.While,
        ast.With,
        ast.Try,
        ast.FunctionDef,
        ast.ClassDef,
        ast.AsyncFunctionDef,
        ast.Lambda,
    )
)
_BRANCH_WORDS = re.compile(r"\b(?:if|for|while|case|catch|switch|match|when|except)\b|&&|\|\|")


def gsm8k_calculations(answer: str) -> int:
    """Number of `<<...>>` calculations of a GSM8K answer."""
    return len(_CALCULATION.findall(answer))


def math_level(value: object, *, where: str) -> float:
    """A stated level ("Level 3", 3, "3") as a difficulty. Raises BadSource outside 1..5."""
    match = _LEVEL.match(str(value))
    level = float(match.group(1)) if match else math.nan
    if not 1.0 <= level <= 5.0:
        raise BadSource(field=f"{where}: level", got=value, expected='1 to 5, or "Level 1" to "Level 5"')
    return level


def flesch_kincaid_grade(text: str) -> float:
    """The Flesch-Kincaid grade level; 0.0 for a text without words."""
    words = _WORD.findall(text)
    if not words:
        return 0.0
    sentences = max(1, len(_SENTENCE_END.findall(text)))
    syllables = sum(count_syllables(word) for word in words)
    return 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59


def count_syllables(word: str) -> int:
    """Syllables of an English word: groups of vowels, without a silent final e. Right for about nine words in ten."""
    lower = word.lower().replace("'", "")
    count = len(re.findall(r"[aeiouy]+", lower))
    if lower.endswith("e") and not lower.endswith(("le", "ee", "ye")) and count > 1:
        count -= 1
    if lower.endswith(("es", "ed")) and not lower.endswith(
        ("ses", "zes", "xes", "ches", "shes", "ges", "ces", "ted", "ded")
    ):
        silent = len(lower) > 3 and lower[-3] not in "aeiouy"
        count -= 1 if silent and count > 1 else 0
    count += bool(re.search(r"[aeiouy]ing$", lower)) and len(lower) > 4  # be-ing, do-ing
    return max(1, count)


def readability_difficulty(text: str) -> float:
    """Grade 4 and below is 1, grade 20 (the densest abstracts) and above is 5, linear between."""
    return _scale(flesch_kincaid_grade(text), 4.0, 20.0)


def code_difficulty(source: str, language: str = "python") -> float:
    """Difficulty of a piece of code.

    For Python from the syntax tree: the mean of three parts, each scaled to 1..5: branches (0 to 60, on a logarithmic
    scale), depth of nested blocks (1 to 10) and number of different kinds of node (10 to 50). On these scales the
    middle of MBPP's beginners' problems is about 1.6 and that of the standard library's files about 3. For other
    languages, and for Python that does not parse, the same idea on the text: branch words and the depth of braces or
    indentation.
    """
    tree = _parsed(source) if language == "python" else None
    if tree is None:
        branches, depth = len(_BRANCH_WORDS.findall(source)), _text_depth(source)
        return (_branch_part(branches) + _scale(depth, 1.0, 10.0)) / 2
    branches, depth, kinds = _survey(tree)
    return (_branch_part(branches) + _scale(depth, 1.0, 10.0) + _scale(kinds, 10.0, 50.0)) / 3


def _branch_part(branches: int) -> float:
    return _scale(math.log1p(branches), 0.0, math.log1p(60))


def syntax_tree(source: str) -> ast.Module:
    """Python's own, in one thread at a time: CPython 3.11 counts the depth of all trees that are made in one place, and
    says SystemError where collected garbage lets another thread go on meanwhile. Raises what `ast.parse` raises."""
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _parsed(source: str) -> ast.Module | None:
    # A method cut out of its class is parsed as if it stood in one.
    for candidate in (source, f"class _:\n{source}") if source[:1].isspace() else (source,):
        try:
            return syntax_tree(candidate)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def walk_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes in no particular order; like `ast.walk`, at half its cost."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                stack += [child for child in value if isinstance(child, ast.AST)]
            elif isinstance(value, ast.AST):
                stack.append(value)


def _survey(tree: ast.AST) -> tuple[int, int, int]:
    """(branches, depth of nested blocks, different kinds of node), in one walk."""
    branches = deepest = 0
    kinds: set[type] = set()
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        kind = type(node)
        kinds.add(kind)
        if kind in _BRANCHES:
            branches += 1
        elif kind is ast.BoolOp:
            branches += len(node.values) - 1  # type: ignore[attr-defined]
        if kind in _BLOCKS:
            depth += 1
            deepest = max(deepest, depth)
        for name in kind._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                stack += [(child, depth) for child in value if isinstance(child, ast.AST)]
            elif isinstance(value, ast.AST):
                stack.append((value, depth))
    return branches, deepest, len(kinds)


def _scale(value: float, low: float, high: float) -> float:
    return 1.0 + 4.0 * min(1.0, max(0.0, (value - low) / (high - low)))


def _text_depth(source: str) -> int:
    depth = deepest = 0
    for character in source:
        if character == "{":
            depth += 1
            deepest = max(deepest, depth)
        elif character == "}":
            depth = max(0, depth - 1)
    indents = [
        len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()) for line in source.splitlines() if line.strip()
    ]
    return max(deepest, max(indents, default=0) // 4)
