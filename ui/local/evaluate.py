"""A file of this machine, measured by the server."""

from collections.abc import Callable, Iterable

from ui.client.errors import ClientError
from ui.client.views import FileEvaluation, FileResult


def wait_for(evaluations: Iterable[FileEvaluation], progress: Callable[[FileEvaluation], None]) -> FileResult:
    """The result at the end of what the server tells; `progress` is told everything before it. Raises ClientError."""
    for one in evaluations:
        progress(one)
        if one.result is not None:
            return one.result
    raise ClientError("the evaluator ended before there was a result; ask again", reason="NO_RESULT")
