"""Memory that is freed is kept for the next step (glibc, CPU training).

A training step makes and frees the same tensors again and again. By default glibc gives blocks of more than 32 MB, and
the top of its heap, back to the kernel at once, and the next step pays for fresh, zeroed pages. Told to keep them, the
process grows to the peak of one step and stays there. `python -m tests.benchmarks.bench_model --no-allocator` compares.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST = (1 << 31) - 1  # mallopt takes a C int


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory in this process. True when it agreed; elsewhere than glibc nothing is
    changed and nothing breaks. Call it once, early, in a process that trains on a CPU."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) == 1 for name, value in settings)
