"""What is known of a run's data, for people: evaluation text near training text, and how often documents come."""

from ui.client.views import RunStatus


def data_lines(status: RunStatus) -> list[str]:
    """Lines for the terminal; nothing is said of data that was not prepared yet."""
    lines = []
    left_out = [folder for folder in status.prepared if folder.left_out]
    if left_out:
        said = ", ".join(f"{folder.left_out:,} documents of {folder.name}" for folder in left_out)
        lines.append(f"left out of training, because they hold text of an evaluation set: {said}")
    for text in status.sampled:
        how = f"self://{text.prompts}, temperature {text.temperature:g}"
        how += f", top_p {text.top_p:g}" if text.top_p < 1 else ""
        dropped = sum(text.dropped.values())
        left = f"; {dropped:,} more were dropped (loops, empty, cut off)" if dropped else ""
        lines.append(
            f"{text.name}: {text.tokens:,} tokens in {text.documents:,} documents that the base wrote ({how}), "
            f"{text.digest[:12]}{left}"
        )
    for found, what in (
        (status.overlap, "stand in training text word for word"),
        (status.near_duplicates, "nearly stand there"),
    ):
        shares = [f"{share:.1%} of {name}" for name, share in sorted(found.items()) if share]
        if shares:
            lines.append(f"evaluation documents that {what}: {', '.join(shares)}")
    for stage in status.stages:
        passes = stage.passes
        if passes is not None:
            often = f"{passes.median:g} times"
            if passes.least != passes.most:
                often = f"{passes.least:g} to {passes.most:g} times; in the middle {passes.median:g}"
            lines.append(f"{stage.name}: each document of its text comes {often}")
    return lines
