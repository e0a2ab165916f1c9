"""Numbers and names as people read them, said once for the command and the panel."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def seconds(value: float) -> str:
    """`0.4 s` below ten seconds, then as a duration."""
    return f"{value:.1f} s" if value < 10 else duration(value)


def bits(value: float) -> str:
    """8.9 bits a byte."""
    return f"{value:.1f} bits a byte"


def percent(ratio: float | None, *, signed: bool = True) -> str:
    """`+12.3 %` of 0.123; `-` without a value. What is not finite is said as it is."""
    if ratio is None:
        return "-"
    if not math.isfinite(ratio):
        return str(ratio)
    return f"{ratio * 100:{'+' if signed else ''}.1f} %"


def amount(count: float) -> str:
    """`1.5M` of 1,500,000."""
    for size, unit in UNITS:
        if abs(count) >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:.4g}"


def rate(per_second: float) -> str:
    """Something a second: three digits, so that 28.4 is no 28 and 3,546 is 3.55k."""
    return amount(float(f"{per_second:.3g}"))


def file_size(size_bytes: float) -> str:
    """`4.2 MB` of 4,200,000 bytes."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s` or `7 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def ppl(value: float | None) -> str:
    """A perplexity with four digits."""
    return "-" if value is None else f"{value:.4g}"


def shares(by_source: Mapping[str, float]) -> str:
    """`general 20 %, code 5 %`."""
    return ", ".join(f"{name} {share * 100:.3g} %" for name, share in sorted(by_source.items())) or "-"


def now() -> str:
    """This moment, as `moment` writes it."""
    return moment(datetime.now(UTC))


def moment(time: datetime | None) -> str:
    """Local time to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else "-"
