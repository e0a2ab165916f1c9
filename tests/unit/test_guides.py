"""The guides name what there is: paths and names of code in them exist."""

import re
from pathlib import Path

import pytest

from deploy.site import pages

TOPS = ("services", "model", "ui", "deploy", "helm", "protos", "tests")
PATH = re.compile(rf"`((?:{'|'.join(TOPS)})/[\w./-]+)`")
NAMED = re.compile(rf"`(\w+)` (?:and `(\w+)`,? )?(?:in|of) `((?:{'|'.join(TOPS)})/[\w./-]+\.py)`")
IN_CHECKPOINTS = {"model/held_out.json"}  # paths inside of a checkpoint, which has a folder `model` too


def missing(text: str, root: Path) -> list[str]:
    """Paths in a text that do not exist, and names that do not stand in the file that they are said to be in."""
    named = [path for path in PATH.findall(text) if "NAME" not in path and path not in IN_CHECKPOINTS]
    faults = [path for path in named if not (root / path).exists()]
    for *names, path in NAMED.findall(text):
        source = (root / path).read_text() if (root / path).is_file() else ""
        faults += [f"{name} in {path}" for name in names if name and not re.search(rf"\b{name}\b", source)]
    return faults


@pytest.mark.parametrize("page", [page for page in pages.pages() if page.name != "CHANGELOG.md"], ids=str)
def test_what_a_guide_names_exists(page: Path) -> None:
    assert missing((pages.ROOT / page).read_text(), pages.ROOT) == []


def test_what_is_no_more_is_found(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/here.py").write_text("def there(): ...\n")
    here = "`model/here.py`"
    text = f"`model/gone.py`, `there` in {here}, `other` of {here}, `there` and `nowhere` in {here}"
    assert missing(text, tmp_path) == ["model/gone.py", "other in model/here.py", "nowhere in model/here.py"]
