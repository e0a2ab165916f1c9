"""Who may compute beside whom."""

import threading

from services.evaluator.adapters.measuring.turns import Turns


def test_many_are_together_and_one_is_alone() -> None:
    turns, inside = Turns(), threading.Semaphore(0)
    leave, order = threading.Event(), list[str]()

    def together(name: str) -> None:
        with turns.together():
            order.append(name)
            inside.release()
            assert leave.wait(5)

    def alone() -> None:
        with turns.alone():
            order.append("alone")

    threads = [threading.Thread(target=together, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=5)
    assert inside.acquire(timeout=5), "both are in at once"
    wants = threading.Thread(target=alone)
    wants.start()
    wants.join(0.2)
    assert wants.is_alive(), "nobody is alone beside others"
    late = threading.Thread(target=together, args=("late",))
    late.start()
    late.join(0.2)
    assert order[2:] == [], "who comes later waits for the one who wants to be alone"
    leave.set()
    for thread in (*threads, wants, late):
        thread.join(5)
    assert order[2:] == ["alone", "late"]
