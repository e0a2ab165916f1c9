"""What comes out of the store broken is fetched once more: a disk or a cable may have lost a bit on the way. What is
broken again is broken in the store."""

from collections.abc import Callable

from services.common.logging import get_logger

FETCHES = 2
log = get_logger(__name__)


def twice(fetch: Callable[[], object], broken: tuple[type[Exception], ...]) -> None:
    """Fetch, and once more after one of the errors `broken`. Raises that of the second time, and every other error."""
    for tries_left in reversed(range(FETCHES)):
        try:
            fetch()
            return
        except broken as error:
            if not tries_left:
                raise
            log.warning("what came from the store is broken and fetched once more", error=str(error))
