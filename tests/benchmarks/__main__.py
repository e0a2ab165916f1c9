"""Runs every benchmark (or those named) one after another, each as a process of its own: `python -m tests.benchmarks`.

A benchmark is a module bench_*.py in this folder that prints its table when it is run. A process each, because memory
and threads of one would disturb the figures of the next.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PRODUCT = """
import os, time
import torch
torch.set_num_threads(os.cpu_count() or 1)
size, best_s = 2048, float("inf")
a, b = torch.randn(size, size), torch.randn(size, size)
for _ in range(8):
    start_s = time.perf_counter()
    a @ b
    best_s = min(best_s, time.perf_counter() - start_s)
print(2 * size**3 / best_s)
"""
HERE = Path(__file__).resolve().parent


def gflops() -> float:
    """Billions of fp32 operations a second in a matrix product on all cores; the best of several, in a child."""
    found = subprocess.run([sys.executable, "-c", PRODUCT], check=True, capture_output=True, text=True)
    return float(found.stdout) / 1e9


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(names)}; all when left out")
    chosen = parser.parse_args().name or names
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
    # Tokens a second mean little without it: machines of one description differ by a factor of three.
    print(f"{gflops():.0f} GFLOP/s (fp32 matrix product on all cores)", flush=True)
    failed = []
    for name in chosen:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.bench_{name}"], cwd=HERE.parents[1]).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
