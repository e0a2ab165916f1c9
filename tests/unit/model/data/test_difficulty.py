"""Syntax trees of code, which its difficulty is read from."""

import gc
import sysconfig
import threading
import time
from pathlib import Path

from model.data.difficulty import syntax_tree


def test_syntax_trees_are_made_in_many_threads_while_garbage_is_collected() -> None:
    # CPython 3.11 said SystemError (AST constructor recursion depth mismatch) to a server that looked at two texts.
    sources = [path.read_text() for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:40]]
    said: list[BaseException] = []

    def reads() -> None:
        try:
            for source in sources:
                syntax_tree(source)
        except SystemError as error:
            said.append(error)

    def waits(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0005)  # lets another thread go on

    gc.callbacks.append(waits)
    try:
        threads = [threading.Thread(target=reads) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(waits)
    assert said == []
