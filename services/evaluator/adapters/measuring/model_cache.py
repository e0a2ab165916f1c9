"""The last models in memory, shared by the thread that measures and the one that samples.

One of them loads what both want, and the other waits for it; a loader that was given up (it hangs) is waited for no
longer. What was dropped stays alive as long as somebody uses it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from services.common.concurrency.heart import Heart, beat, heart_here, pause

LOOK_EVERY_S = 0.1
T = TypeVar("T")


class _Loading:
    """Somebody loads a model. `heart` is None where nobody watches the loader."""

    def __init__(self, heart: Heart | None) -> None:
        self.heart, self.done = heart, threading.Event()


class ModelCache(Generic[T]):
    """At most `size` models, the least recently used going first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._models: OrderedDict[str, T] = OrderedDict()
        self._loading: dict[str, _Loading] = {}
        self._lock = threading.Lock()

    def get(self, name: str, load: Callable[[], T]) -> T:
        """The model of this name, loaded unless it is here. Raises what `load` raises, to its own caller only."""
        while True:
            with self._lock:
                if name in self._models:
                    self._models.move_to_end(name)
                    return self._models[name]
                loading = self._loading.get(name)
                mine = loading is None or (loading.heart is not None and loading.heart.given_up)
                if mine:
                    loading = self._loading[name] = _Loading(heart_here())
            assert loading is not None
            if mine:
                return self._load(name, load, loading)
            while not loading.done.is_set() and not (loading.heart is not None and loading.heart.given_up):
                pause(LOOK_EVERY_S)
            beat()

    def clear(self) -> None:
        """Gives memory back, except for what is in use."""
        with self._lock:
            self._models.clear()

    def drop(self, name: str) -> None:
        """This one is not to be used again."""
        with self._lock:
            self._models.pop(name, None)

    def _load(self, name: str, load: Callable[[], T], loading: _Loading) -> T:
        try:
            model = load()
            with self._lock:
                self._models[name] = model
                self._models.move_to_end(name)
                while len(self._models) > self._size:
                    self._models.popitem(last=False)
            return model
        finally:
            with self._lock:
                if self._loading.get(name) is loading:
                    del self._loading[name]
            loading.done.set()
