"""The command of the experiments: runs what is missing, then writes the table (and plots) of all that has run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import RetainModelError
from model.experiments.catalogue import EXPERIMENTS, ORDER_OF_RUNS, TITLES, arms_of
from model.experiments.corpora import shared_data
from model.experiments.findings.tables import report, write_report
from model.experiments.gauges import measure_missing, read_gauges, with_gauges
from model.experiments.pool import PROCESSES, read_rows, run_missing
from model.experiments.published import publish, take_over
from retain.values.faults import mismatch

SEEDS = 3
DOMAINS = ("gsm8k", "scitldr", "code")
ON_EVERY_DOMAIN = ("a", "b", "i", "j", "l", "m", "n")  # the others run on the first domain unless --domains is given


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    options = _parser().parse_args(arguments)
    chosen = _names(options.only, tuple(EXPERIMENTS), "--only")
    domains = _names(options.domains or ",".join(DOMAINS), DOMAINS, "--domains")
    seeds = 1 if options.quick else SEEDS
    if options.quick and not options.domains:
        domains = domains[:1]
    plan = {
        (experiment, domain): arms_of(experiment, domain, seeds)
        for experiment in ORDER_OF_RUNS
        if experiment in chosen
        for domain in (domains if options.domains or experiment in ON_EVERY_DOMAIN else domains[:1])
    }
    plan = {key: arms for key, arms in plan.items() if arms}
    named = [one for arms in plan.values() for one in arms]
    named.sort(key=lambda one: (one.arm.seed + one.waits, one.arm.count_teacher))  # a break leaves whole seeds behind
    every = [one.arm for one in named]
    if not options.gate:
        every = [arm for arm in every if not arm.gate.controller]
    try:
        if options.published:
            print(f"{take_over(options.out)} published rows taken over", file=sys.stderr)
        if not options.table_only:
            run_missing(every, shared=options.shared, root=options.out, gate=options.gate, processes=options.processes)
            measure_missing(every, shared=options.shared, root=options.out, processes=options.processes)
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    made = report(plan, read_rows(options.out))
    made = with_gauges(made, plan, read_rows(options.out), read_gauges(options.out))
    print(made.markdown)
    written = write_report(made, options.out)
    if options.plots:
        from model.experiments.findings.plots import draw

        written += draw(plan, read_rows(options.out), options.out)
    print("written: " + ", ".join(map(str, written)), file=sys.stderr)
    if options.publish:
        print(f"{publish(options.out)} rows published", file=sys.stderr)
    return 0


def _names(text: str, allowed: Sequence[str], field: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(set(names) - set(allowed))
    if unknown or not names:
        print(f"error: {field}: {mismatch(unknown or text, ', '.join(allowed))}", file=sys.stderr)
        raise SystemExit(2)
    return tuple(name for name in allowed if name in names)


def _parser() -> argparse.ArgumentParser:
    titles = "; ".join(f"{letter}: {title}" for letter, title in TITLES.items())
    parser = argparse.ArgumentParser(prog="python -m model.experiments", description=__doc__, epilog=titles)
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="experiments by letter (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"one seed and GSM8K alone, in place of {SEEDS} seeds")
    parser.add_argument(
        "--domains",
        help=f"of {','.join(DOMAINS)} (default: all for {','.join(ON_EVERY_DOMAIN)}, the first for the rest)",
    )
    parser.add_argument("--out", type=Path, default=Path("build/experiments"), help="folder of rows, table and plots")
    parser.add_argument("--plots", action="store_true", help="draw PNG files beside the table")
    parser.add_argument("--table-only", action="store_true", help="run nothing, report what has run")
    parser.add_argument("--published", action="store_true", help="begin with the rows of the guide's tables")
    parser.add_argument("--publish", action="store_true", help="put all rows there, for a commit")
    parser.add_argument("--gate", default="", metavar="MODULE:FUNCTION", help="who makes the gates of the loops")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="side by side, one thread each")
    parser.add_argument("--shared", type=Path, default=shared_data(), help="folder of the shared data")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
