"""`python -m ui.adapt`: a real model learns arithmetic through the running stack, in several arms, and a table of them.

Gets the model, writes the texts, imports, runs the arms one after the other as a sweep, measures each and prints the
table. What is done is not done again: the same command resumes wherever it was interrupted. Arms that are published
with Retain are not run; `--anew` runs them all the same. `make real-model` starts and stops a stack around it.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ui.adapt.arm import BEFORE, before, run_arm
from ui.adapt.rows import PUBLISHED, read_rows, recipe_of, write_rows
from ui.adapt.table import samples, table
from ui.adapt.texts import MEASURED, write_texts
from ui.adapt.wheel import model_folder
from ui.client import ClientError, connect
from ui.client.address import home_folder
from ui.commands.output import say
from ui.local.hf_folder import upload_names
from ui.local.transfer import upload_files
from ui.sweep.file import ARM, load_sweep

SWEEP = Path(__file__).with_name("sweep.yaml")
INTERRUPTED = 130
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every arm that was asked for has a row, 130 after Ctrl-C, else that of the client's error."""
    options = _parser().parse_args(arguments)
    work = options.out
    published = Path(os.devnull) if options.anew else PUBLISHED
    try:
        sweep = load_sweep(str(SWEEP))
        wanted = list(sweep.of_arms(options.arm).arms)
        recipes = {BEFORE: "", **{one.settings[ARM]: recipe_of(one) for one in sweep.runs()}}
        rows = read_rows(work / "rows", recipes, published)
        missing = [] if options.table_only else [arm for arm in wanted if arm not in rows]
        if missing:
            _fill(missing, work, options.shared)
            rows = read_rows(work / "rows", recipes, published)
        if options.publish:
            write_rows(PUBLISHED, list(rows.values()))
    except ClientError as error:
        for said in [f"{one.field}: {one.description}" for one in error.violations] or [f"error: {error.message}"]:
            say(said)
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped; a run that began continues while its stack is up, and the same command resumes")
        return INTERRUPTED
    print(table(list(rows.values())))
    print(f"\n{samples(list(rows.values()))}")
    lacking = [arm for arm in sweep.arms if arm not in rows]
    if lacking:
        say(f"not run yet: {', '.join(lacking)}")
    return 0


def _fill(missing: Sequence[str], work: Path, shared: Path) -> None:
    """Makes the row of each of these arms, and that of the model before them."""
    work.mkdir(parents=True, exist_ok=True)
    model = model_folder(work, say)
    if not all((work / "measured" / f"{name}.jsonl").is_file() for name in MEASURED):
        write_texts(shared, work)
    shutil.copyfile(SWEEP, work / SWEEP.name)
    with connect() as client:
        imported = client.import_checkpoint(upload_files(client, upload_names(model), say=say), name="smollm2-135m")
        sweep = load_sweep(str(work / SWEEP.name), [f"model.checkpoint={imported.ref.uri}"])
        if not (work / "rows" / f"{BEFORE}.json").is_file() or not (work / "before.json").is_file():
            write_rows(work / "rows" / f"{BEFORE}.json", [before(client, imported.ref, model, work, say)])
        for arm in missing:
            write_rows(work / "rows" / f"{arm}.json", [run_arm(client, sweep, arm, work, say)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ui.adapt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arm", action="append", default=[], metavar="NAME", help="only this arm; may be repeated")
    parser.add_argument("--anew", action="store_true", help="do not take published rows")
    parser.add_argument("--table-only", action="store_true", help="run nothing, print what has run")
    parser.add_argument("--publish", action="store_true", help="put all rows beside this module, for a commit")
    parser.add_argument("--out", type=Path, default=home_folder() / "adapt", help="folder of the model, texts and rows")
    given = os.environ.get("RETAIN_SHARED")
    shared = Path(given) / "data" if given else SHARED
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the shared data (RETAIN_SHARED)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
