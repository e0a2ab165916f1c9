"""`python -m deploy.audit check` (make audit) and `... bill` (make sbom), with the tools of .venv-audit.

`check` exits with 1 for a licence that is not allowed or a known weakness. What could not be looked up is printed as
"not checked"; with --strict that is an error, too.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy.audit import advisories, bill, licences

LOCK = bill.ROOT / "requirements.lock"
SHOWN = 5


def check(tools: Path, *, strict: bool) -> int:
    """Prints both tables; returns the exit code."""
    rules, today = licences.allowed(), datetime.now(UTC).date()
    packages = licences.installed(licences.locked(LOCK))
    wrong = licences.faults(packages, rules, today)
    print(f"licences: {len(packages)} packages, {len(wrong)} not allowed")
    found = advisories.judged(advisories.ask(tools / "pip-audit", LOCK), rules.get("advisories", ()), today)
    print(f"advisories: {found.checked} packages checked, {len(found.faults)} weaknesses")
    if found.unchecked:
        print(f"advisories: NOT CHECKED: {len(found.unchecked)}")
        print("\n".join(f"  {one}" for one in found.unchecked[:SHOWN]))
    print("\n".join([*wrong, *found.faults]))
    return 1 if wrong or found.faults or (strict and found.unchecked) else 0


def bills(tools: Path, folder: Path) -> int:
    """Writes a document for each image; returns the exit code."""
    for image in bill.IMAGES:
        path = folder / f"{image}.cdx.json"
        bill.write_bill(tools / "cyclonedx-py", image, path)
        pinned, free = bill.packages_of(image)
        print(f"{path}: {len(pinned)} packages" + (f"; not in the lock: {', '.join(free)}" if free else ""))
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deploy.audit")
    parser.add_argument(
        "--tools", type=Path, default=Path(".venv-audit/bin"), help="where pip-audit and cyclonedx-py are"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check").add_argument("--strict", action="store_true", help="what is not checked is an error")
    verbs.add_parser("bill").add_argument("--folder", type=Path, default=Path("build/sbom"))
    given = parser.parse_args(arguments)
    sys.exit(check(given.tools, strict=given.strict) if given.verb == "check" else bills(given.tools, given.folder))


if __name__ == "__main__":
    main()
