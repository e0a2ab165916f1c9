"""What is known of a run's data, for people: evaluation text near training text, and how often documents come."""

from collections.abc import Mapping
from typing import Any


def data_lines(resource: Mapping[str, Any]) -> list[str]:
    """Lines for the terminal. `resource`: the run in protobuf's JSON mapping, with the field names of the messages;
    nothing is said of data that was not prepared yet."""
    status = resource.get("status", {})
    lines = []
    left_out = {folder["name"]: int(folder.get("left_out", 0)) for folder in status.get("prepared", ())}
    if any(left_out.values()):
        said = ", ".join(f"{count:,} documents of {name}" for name, count in left_out.items() if count)
        lines.append(f"left out of training, because they hold text of an evaluation set: {said}")
    for field, what in (("overlap", "stand in training text word for word"), ("near_duplicates", "nearly stand there")):
        shares = {name: share for name, share in sorted(status.get(field, {}).items()) if share}
        if shares:
            said = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
            lines.append(f"evaluation documents that {what}: {said}")
    for stage in status.get("stages", ()):
        passes = stage.get("passes")
        if passes:
            least, median, most = (passes.get(name, 0.0) for name in ("least", "median", "most"))
            often = f"{median:g} times" if least == most else f"{least:g} to {most:g} times; in the middle {median:g}"
            lines.append(f"{stage['name']}: each document of its text comes {often}")
    return lines
