"""A child that says nothing, whatever it is asked."""

import time

from model.child_process.child import Parent, serve


def answer(parent: Parent, asked: dict, blob: bytes) -> None:
    """Takes its time."""
    time.sleep(600)


if __name__ == "__main__":
    serve(answer)
