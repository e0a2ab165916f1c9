"""What nothing refers to, from a listing and references made by hand."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from services.orchestrator.domain.policy.garbage import GarbageKind, Item, References, items, names_in, recipe_items

NOW_S, DAY_S = 1_000_000.0, 86_400.0
A, B, C = "a" * 64, "b" * 64, "c" * 64
STORE = "s3://retain"


@dataclass(frozen=True)
class Object:
    key: str
    size_bytes: int = 10
    modified_s: float | None = 0.0


def found(keys: list[str] | list[Object], refs: References, older_than_s: float = DAY_S) -> list[Item]:
    listing = [Object(key) if isinstance(key, str) else key for key in keys]
    return list(items(listing, refs, store_uri=STORE, now_s=NOW_S, older_than_s=older_than_s))


EVERYTHING = [
    f"evaluations/{A}/{B}.json", f"evalsets/{A}/meta.json", f"evalsets/{A}/tokens.bin",
    "evaluator/runs/r1/000000000001-r1-0-1-10", "history/r1.json", f"imports/{A}/manifest.json",
    f"prepared/{A}/meta.json", "runs/r1/midtrain/code/attempt-1/step-000000010/manifest.json",
    f"tokenizers/{A}/tokenizer.json", f"uploads/{A}/data.jsonl", "uploads/model-1/model/config.json",
]  # fmt: skip
KIND = {
    "evaluations": "evaluation", "evalsets": "evaluation_set", "evaluator": "evaluation", "history": "history",
    "imports": "import", "prepared": "prepared", "runs": "run", "tokenizers": "tokenizer", "uploads": "upload",
}  # fmt: skip


def test_a_database_that_knows_nothing_refers_to_nothing() -> None:
    came = found(EVERYTHING, References())
    assert len(came) == len(EVERYTHING) - 1, "two objects of one evaluation set are one item"
    assert [(i.key, i.objects, i.bytes) for i in came if i.kind is GarbageKind.EVALUATION_SET] == [
        (f"evalsets/{A}", 2, 20)
    ]
    for item in came:
        assert item.kind == KIND[item.key.split("/")[0]]
        assert item.uri == f"{STORE}/{item.key}"
        assert item.reason


def test_what_is_referred_to_stays() -> None:
    refs = References(
        runs=frozenset({"r1"}),
        named=frozenset({A, f"{STORE}/uploads/model-1"}),
        steps=frozenset({f"{STORE}/runs/r1/midtrain/code/attempt-1/step-000000010"}),
    )
    assert found(EVERYTHING, refs) == []


@pytest.mark.parametrize("key", EVERYTHING)
def test_nothing_young_is_taken_not_even_beside_something_old(key: str) -> None:
    folder = key.rpartition("/")[0]
    assert found([Object(key, modified_s=NOW_S - DAY_S + 1)], References()) == []
    assert found([Object(key, modified_s=None)], References()) == [], "a store that does not say when"
    assert len(found([Object(key, modified_s=NOW_S - DAY_S)], References())) == 1
    if key.count("/") >= 2 and not key.startswith("history"):
        assert found([Object(key), Object(f"{folder}/zz", modified_s=NOW_S)], References()) == []


@pytest.mark.parametrize(
    "key",
    ["installation", "evaluator/damaged/history/r1.json", "evaluator/evaluations/x.json", "evaluator/runs/-/1-x",
     "somebody/elses/object", f"prepared/recipes/{A}.json", "runs", "evalsets/loose-file", "//x", "",
     "backups/runs/r1/x"],
)  # fmt: skip
def test_what_is_laid_out_in_another_way_is_left_alone(key: str) -> None:
    assert found([key], References()) == []


@pytest.mark.parametrize(
    ("attempt", "at_work", "orphan"),
    [
        (1, {"pretrain": 2}, True),
        (2, {"pretrain": 2}, False),
        (3, {"pretrain": 2}, False),
        (1, {}, False),
        (1, None, True),
    ],
)
def test_an_orphan_is_of_an_attempt_that_is_over(attempt: int, at_work: dict | None, orphan: bool) -> None:
    refs = References(runs=frozenset({"r1"}), at_work={} if at_work is None else {"r1": at_work})
    came = found([f"runs/r1/pretrain/attempt-{attempt}/step-000000010/model/model.safetensors"], refs)
    assert [i.reason for i in came] == ([f"attempt {attempt} left it without registering it"] if orphan else [])


def test_a_pruned_checkpoints_manifest_and_a_childs_base_in_a_deleted_run_stay() -> None:
    step = "runs/gone/pretrain/attempt-1/step-000000010"
    assert len(found([f"{step}/manifest.json"], References())) == 1
    assert found([f"{step}/manifest.json"], References(named=names_in(f'{{"uri":"{STORE}/{step}"}}'))) == []


def test_shared_data_stays_while_a_run_chooses_among_it() -> None:
    refs = References(preparing=("r9",))
    assert {i.kind for i in found(EVERYTHING, refs)} == {
        GarbageKind.RUN, GarbageKind.EVALUATION, GarbageKind.HISTORY,
    }  # fmt: skip
    assert all(not i.kind.shared for i in found(EVERYTHING, refs))


def test_names_are_found_in_any_text_also_in_one_that_nobody_can_read() -> None:
    text = f'{{"version":99,"ref":{{"uri":"{STORE}/uploads/f/model","digest":"{A}"}},"cut off in the mid'
    assert names_in(text) == {A, f"{STORE}/uploads/f/model", f"{STORE}/uploads/f", f"{STORE}/uploads"}


def recipe(name: str, *digests: str, age_s: float = 2 * DAY_S) -> tuple[Object, frozenset[str]]:
    return Object(f"prepared/recipes/{name}.json", modified_s=NOW_S - age_s), frozenset(digests)


def judged(*recipes: tuple[Object, frozenset[str]], refs: References) -> tuple[list[str], References]:
    old, kept = recipe_items(recipes, refs, store_uri=STORE, now_s=NOW_S, older_than_s=DAY_S)
    return [item.key.split("/")[-1] for item in old], kept


def test_a_recipe_goes_with_the_first_thing_that_it_names_and_a_young_one_keeps_what_it_names() -> None:
    refs = References(named=frozenset({A, B}))
    gone, kept = judged(recipe("whole", A, B), recipe("half", A, C), refs=refs)
    assert (gone, kept.named) == (["half.json"], refs.named)
    gone, kept = judged(recipe("young", C, age_s=DAY_S - 1), recipe("old", C), refs=References())
    assert gone == ["old.json"]
    assert found([f"prepared/{C}/meta.json"], kept) == [], "a run that is being prepared has just used it"


def test_a_hundred_thousand_objects_take_the_memory_of_one_item() -> None:
    def listing() -> Iterator[Object]:
        for number in range(100_000):
            yield Object(f"evaluations/{number // 100:064x}/{number:064x}.json")

    tracemalloc.start()
    seen = sum(item.objects for item in items(listing(), References(), store_uri=STORE, now_s=NOW_S, older_than_s=1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == 100_000
    assert peak < 1_000_000


def test_references_to_one_thing_protect_that_thing_alone() -> None:
    refs = replace(References(), named=frozenset({A}))
    assert [i.key for i in found([f"evalsets/{A}/x", f"evalsets/{B}/x"], refs)] == [f"evalsets/{B}"]
