"""The attacks, by number, and which of them wait for something that is not there yet: said here, and nowhere skipped.

A row is one kind of attack; its test is named `test_row_NN_...` and says through `attack.refused` how it was refused.
`make test-attacks` runs all of them on a running stack and prints a table; a row of WAITING fails there, by name.
"""

from dataclasses import dataclass, field

ROWS: dict[int, str] = {
    1: "NaN and infinite rates",
    2: "numbers at the ends of their types",
    3: "unknown fields, also on the wire",
    4: "unspecified and unknown enum numbers",
    5: "a million stages",
    6: "YAML objects",
    7: "alias bombs and deep nesting",
    8: "duplicate keys",
    9: "control, bidi and NUL characters",
    10: "'..', %2e and backslash in names and paths",
    11: "thresholds out of order",
    12: "workers or GPUs that can never be placed",
    13: "file:///etc/passwd and loader arguments",
    14: "symlinks out of the root",
    15: "another prefix or bucket",
    16: "SSRF by address, redirect and DNS rebinding",
    17: "parquet, zip and gzip bombs",
    18: "loader scripts",
    19: "bad bytes, long lines, deep JSON, long numbers",
    20: "evaluation text in training data",
    21: "pickles under any name",
    22: "header lengths",
    23: "overlapping offsets",
    24: "dtype and shape",
    25: "NaN weights",
    26: "paths in manifests",
    27: "manifest and file replaced, also in caches",
    28: "auto_map and other code keys",
    29: "tokenizer and template that loop or explode",
    30: "another project's checkpoint",
    31: "no token, bad, expired, wrong audience, alg none",
    32: "a viewer that mutates",
    33: "worker of run A for run B",
    34: "an older attempt",
    35: "steps and tokens far ahead, NaN",
    36: "messages over the limit",
    37: "slow handshake, slow body",
    38: "ping flood",
    39: "rapid reset, 10^4 streams",
    40: "2,000 watchers of one principal",
    41: "reused request ids",
    42: "forged page tokens and etags",
    43: "calls without a deadline",
    44: "reflection without a token",
    45: "Ray jobs without a token",
    46: "browser to Ray's dashboard",
    47: "panel: Host, Origin, websocket, traversal",
    48: "script in any name",
    49: "label explosion in metrics",
    50: "anonymous dashboards",
    51: "default, short and empty secrets",
    52: "tokens or keys in logs, errors, argv, jobs",
}

WAITING: dict[int, str] = {}


@dataclass(kw_only=True)
class Attack:
    """One row while it is tried: what was said about how it was refused, how often, and how long that took."""

    number: int
    how: list[str] = field(default_factory=list)
    tried: int = 0

    def refused(self, how: str) -> None:
        """One attempt was refused, and so."""
        self.tried += 1
        if how not in self.how:
            self.how.append(how)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    number: int
    refused: bool
    how: str
    tried: int
    ms: float


def table(lines: list[Line], *, besides: list[str]) -> str:
    """For people: row, whether it was refused, how, milliseconds."""
    made = [f"{'row':>3}  {'refused':7}  {'ms':>7}  {'tries':>5}  attack: how"]
    for line in sorted(lines, key=lambda one: one.number):
        said = "yes" if line.refused else "NO"
        what = f"{ROWS[line.number]}: {line.how}"
        made.append(f"{line.number:>3}  {said:7}  {line.ms:>7.0f}  {line.tried:>5}  {what[:150]}")
    refused = sum(line.refused for line in lines)
    made.append(f"{refused} of {len(ROWS)} rows refused; tried here: {len(lines)}")
    return "\n".join([*made, *besides])
