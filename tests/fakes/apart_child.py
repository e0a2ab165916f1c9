"""A child that does to itself what foreign data may do to a reader: `{"op": "hang"}` and so on."""

import ctypes
import os
import sys
import time

from model.child_process.child import Parent, serve
from model.errors import BadConfig


def answer(parent: Parent, asked: dict, blob: bytes) -> None:
    """Does what was asked, if it lives to."""
    op = asked["op"]
    if op == "echo":
        print("a library that talks")
        parent.send({"echo": asked.get("said"), "environment": sorted(os.environ)}, blob)
    elif op == "hang":
        time.sleep(asked["seconds"])
        parent.send({"late": True})
    elif op == "get on":
        for number in range(asked["signs"]):
            time.sleep(asked["seconds"])
            parent.send({"sign": number})
    elif op == "eat":
        held = [bytearray(16 << 20) for _ in range(1_000)]
        parent.send({"held": len(held)})
    elif op == "burn":
        while True:
            pass
    elif op == "abort":
        print("thread 'main' panicked at src/lib.rs: regex too big", file=sys.stderr, flush=True)
        os.abort()
    elif op == "crash":
        ctypes.string_at(0)
    elif op == "leave":
        os._exit(7)
    elif op == "raise":
        raise {"value": ValueError("x\ud800"), "config": BadConfig("a", 1, ["b", "c"]), "exit": SystemExit(3)}[
            asked["what"]
        ]


if __name__ == "__main__":
    serve(answer)
