"""Build the site: `python -m deploy.site [--output FOLDER]`, where deploy/site/requirements.txt is installed."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from deploy.site.pages import ROOT, dead_links, gather


def main() -> None:
    """Gather the pages and build them strictly: what is a warning ends the build."""
    parser = argparse.ArgumentParser(prog="deploy.site", description="Build the guides into a static site.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    output = parser.parse_args().output.resolve()
    faults = dead_links()
    if faults:
        sys.exit("\n".join(faults))
    source = ROOT / "build" / "site-pages"
    found = gather(source)
    config = Path(__file__).with_name("mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--quiet"]
    # NO_MKDOCS_2_WARNING: the theme's advertisement of another program is no fault of a page.
    environment = {**os.environ, "RETAIN_SITE_PAGES": str(source), "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--config-file", str(config), "--site-dir", str(output)], env=environment)
    if done.returncode == 0:
        print(f"{len(found)} pages in {output}; open {output / 'index.html'}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
