"""What public functions of the code owe their readers in a docstring: errors that they raise, shapes of their tensors.

    python -m tests.docstrings        # every fault, by file and line

A public function (no leading underscore, not inside another function; of a class that is public too) that

* raises an error by name says so: "Raises" or the error's name in its docstring, or in its class's;
* takes or returns tensors or arrays says their shapes: suffixes of names with a legend in the file (`logits_BTV`), the
  shape in brackets, or a word for what has no fixed one (scalar, shape, flat, by name);
* has a docstring that says something: no placeholder, and not its own name once more.

Docstrings of `ui/commands` are the help that the command prints: what it raises are its exit codes.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("services", "model", "ui", "deploy")
PLACEHOLDER = re.compile(r"^\W*(todo|tbd|fixme|xxx|docstring|placeholder|see code|self.explanatory|n/?a)?\W*$", re.I)
BEGINS_AS_PLACEHOLDER = re.compile(r"^(todo|tbd|fixme|xxx)\b", re.I)
TENSORS = {"Tensor", "ndarray", "NDArray", "FloatTensor", "LongTensor"}
SHAPED = re.compile(r"[a-z0-9]_(?=[A-Z])[A-Z0-9]{1,5}\b|\[[^\]]+\]|\b(shape|scalar|flat|0-d|1-d|2-d|by name)", re.I)
SUFFIX = re.compile(r"_[A-Z0-9]{1,5}$")
NOT_TOLD = {"NotImplementedError", "AssertionError", "StopIteration", "SystemExit", "KeyboardInterrupt", "Exit"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults(source: str) -> list[tuple[int, str]]:
    """Line and text of every fault of a module's source."""
    tree = ast.parse(source)
    legend = bool(re.search(r"\bshapes?:", source, re.I))
    return [fault for function, owner in _public(tree) for fault in _of(function, owner, legend=legend)]


def _public(tree: ast.Module) -> Iterator[tuple[Function, str]]:
    """Public functions, each with the docstring of its class. Where a class has a base, a method without a docstring is
    a port's: the port says what it raises."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node, ""
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if not isinstance(member, Function) or member.name.startswith("_"):
                    continue
                if ast.get_docstring(member) is not None or not node.bases:
                    yield member, ast.get_docstring(node) or ""


def _of(function: Function, owner: str, *, legend: bool) -> Iterator[tuple[int, str]]:
    said = ast.get_docstring(function)
    where, name = function.lineno, function.name
    if said is not None and _says_nothing(said, name):
        yield where, f"{name}: got the docstring {said!r}; expected what the function does"
        return
    told = f"{said or ''} {owner}"
    raised = sorted(error for error in _raised(function) if error not in NOT_TOLD)
    if raised and "aise" not in told and not any(error in told for error in raised):
        yield where, f"{name}: raises {', '.join(raised)}; expected to be said in its docstring"
    tensors = list(_tensors(function))
    if tensors and not SHAPED.search(told) and not (legend and any(map(SUFFIX.search, tensors))):
        yield where, f"{name}: takes or returns tensors ({', '.join(tensors)}); expected their shapes in its docstring"


def _says_nothing(said: str, name: str) -> bool:
    words = re.findall(r"[a-z0-9]+", said.lower())
    return bool(PLACEHOLDER.match(said) or BEGINS_AS_PLACEHOLDER.match(said) or words == name.lower().split("_"))


def _own(function: Function) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions and classes inside of it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _raised(function: Function) -> set[str]:
    """Names of the errors that a function raises itself and does not catch: `raise X` and `raise X(...)`."""
    found = set()
    for node in _own(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = raised.attr if isinstance(raised, ast.Attribute) else getattr(raised, "id", "")
            if name[:1].isupper():
                found.add(name)
    return found


def _tensors(function: Function) -> Iterator[str]:
    """Parameters that are tensors, and `return`."""
    given = function.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs):
        if argument.annotation is not None and _is_tensor(argument.annotation):
            yield argument.arg
    if function.returns is not None and _is_tensor(function.returns):
        yield "return"


def _is_tensor(annotation: ast.expr) -> bool:
    return bool(TENSORS & set(re.findall(r"\w+", ast.unparse(annotation))))


def faults_of_code() -> Iterator[str]:
    """Every fault of the project's code, by file and line."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for line, text in faults(path.read_text(encoding="utf-8")):
                if not (name.startswith("ui/commands/") and ": raises " in text):
                    yield f"{name}:{line}: {text}"


def main() -> int:
    """Prints every fault; 1 if there is one."""
    found = list(faults_of_code())
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
