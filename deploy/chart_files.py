"""The chart carries copies of the generated rules and dashboards, as a chart can only read its own files.

python -m deploy.chart_files            copy
python -m deploy.chart_files --check    1 and the names when a copy differs
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "deploy/monitoring/generated"
FILES = ROOT / "helm/retain/files"


def copies() -> dict[Path, str]:
    """Content by the place in the chart."""
    wanted = {FILES / "rules.yaml": (GENERATED / "prometheus/rules.yaml").read_text()}
    for source in sorted((GENERATED / "grafana/dashboards").glob("*.json")):
        wanted[FILES / "dashboards" / source.name] = source.read_text()
    return wanted


def differing() -> list[str]:
    """Files of the chart that are missing, stale, or copies of something that is no longer generated."""
    wanted = copies()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    extra = [path for path in FILES.rglob("*") if path.is_file() and path not in wanted]
    return sorted(str(path.relative_to(ROOT)) for path in [*stale, *extra])


def main() -> int:
    """Entry point."""
    if "--check" in sys.argv[1:]:
        found = differing()
        for name in found:
            print(f"{name} differs from deploy/monitoring/generated: run python -m deploy.chart_files", file=sys.stderr)
        return 1 if found else 0
    for path, text in copies().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
