"""What a checkpoint scores on a file of one's own, for the command and the panel."""

from ui.client.views import FileEvaluation, FileResult
from ui.render import formatting


def perplexity_line(found: FileResult) -> str:
    """The perplexity, with its interval where there is one."""
    low, high = found.perplexity_low, found.perplexity_high
    interval = "" if low is None or high is None else f" [{formatting.ppl(low)}, {formatting.ppl(high)}]"
    return f"{formatting.ppl(found.perplexity)}{interval}"


def facts_line(found: FileResult) -> str:
    """What it was measured on."""
    documents = f"{found.documents:,} {'document' if found.documents == 1 else 'documents'}"
    when = "measured before" if found.kept else f"measured in {formatting.seconds(found.measure_seconds)}"
    return f"{documents}, {found.tokens:,} tokens in windows of {found.context:,}, {when}"


def progress_line(now: FileEvaluation) -> str:
    """How far it is."""
    if now.state == "PENDING":
        return f"waits for {now.ahead} other{'s' if now.ahead != 1 else ''}" if now.ahead else "begins"
    if not now.tokens:
        return "is read"
    return f"{now.tokens_done:,} of {now.tokens:,} tokens"


def file_results(named: list[tuple[str, FileResult]]) -> list[dict[str, str]]:
    """Rows of a table: each file and what was found."""
    return [
        {
            "file": name,
            "documents": f"{found.documents:,}",
            "tokens": f"{found.tokens:,}",
            "nats/token": f"{found.loss_nats:.4f}",
            "perplexity [95 %]": perplexity_line(found),
            "bits/byte": f"{found.bits_per_byte:.4f}",
        }
        for name, found in named
    ]
