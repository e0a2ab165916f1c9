"""Work in threads shows that it continues, and ends when nobody waits for it."""

import threading

import pytest

from services.common.concurrency.heart import GivenUp, Heart, beat, heart_here, pause


def test_silence_is_counted_from_the_last_beat_and_says_what_was_done():
    now = [100.0]
    heart = Heart(clock=lambda: now[0])
    now[0] = 103.0
    assert heart.silent_s == 3.0
    with heart.here():
        beat("measuring general")
    now[0] = 104.5
    assert (heart.silent_s, heart.doing) == (1.5, "measuring general")


def test_what_is_given_up_ends_at_its_next_beat_or_in_its_pause():
    heart = Heart()
    heart.give_up()
    with heart.here():
        with pytest.raises(GivenUp):
            beat()
        with pytest.raises(GivenUp):
            pause(60)


def test_a_heart_belongs_to_one_thread_and_to_the_innermost_block():
    outer, inner, elsewhere = Heart(), Heart(), []
    with outer.here():
        with inner.here():
            assert heart_here() is inner
        assert heart_here() is outer
        thread = threading.Thread(target=lambda: elsewhere.append(heart_here()))
        thread.start()
        thread.join()
    assert (elsewhere, heart_here()) == ([None], None)
    beat()  # where nobody watches it does nothing
