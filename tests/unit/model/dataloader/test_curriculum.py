"""Curricula, difficulty and the domain data sets, against published and hand-computed values."""

import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.difficulty import (
    code_difficulty,
    count_syllables,
    flesch_kincaid_grade,
    gsm8k_calculations,
    math_level,
    readability_difficulty,
)
from model.data.domains import MathDataset, create_domain_dataset
from model.data.sources import source_digest
from model.dataloader.curriculum import (
    CurriculumSpec,
    Strategy,
    competence,
    create_code_curriculum,
    create_curriculum,
    create_math_curriculum,
    stage_fractions,
)
from model.errors import BadConfig, BadSource

SCHEDULE = """Curriculum Learning Schedule
════════════════════════════════════════════════════════════
Total epochs: 10

Stage 1: Easy (Epochs 0-2)
  Difficulty: 1.0 - 2.0
  Duration: 3 epochs (30% of training)

Stage 2: Medium (Epochs 3-5)
  Difficulty: 2.0 - 3.5
  Duration: 3 epochs (30% of training)

Stage 3: Hard (Epochs 6-9)
  Difficulty: 3.5 - 5.0
  Duration: 4 epochs (40% of training)
"""


@pytest.mark.parametrize("create", [create_math_curriculum, create_code_curriculum])
def test_the_schedule_of_ten_epochs(create, capsys):
    create(10, 3).print_schedule()
    assert capsys.readouterr().out == SCHEDULE


@given(levels=st.integers(1, 8), extra=st.integers(0, 40))
def test_every_epoch_has_one_stage_and_difficulty_never_falls(levels, extra):
    scheduler = create_curriculum(levels + extra, levels)
    stages = [scheduler.get_current_stage(epoch) for epoch in range(levels + extra)]
    assert len(set(stages)) == levels
    assert [s.difficulty_range for s in stages] == sorted(s.difficulty_range for s in stages)
    assert (stages[0].difficulty_range[0], stages[-1].difficulty_range[1]) == (1.0, 5.0)


def test_a_difficulty_belongs_to_exactly_one_stage():
    stages = create_math_curriculum(9, 3).stages
    for difficulty in (1.0, 1.5, 2.0, 2.1, 3.5, 3.6, 5.0):
        assert sum(stage.admits(difficulty) for stage in stages) == 1


def test_outside_the_schedule_is_refused():
    scheduler = create_math_curriculum(total_epochs=9, difficulty_levels=3)
    with pytest.raises(BadConfig, match="0 to 8"):
        scheduler.get_current_stage(9)
    with pytest.raises(BadConfig, match="total_epochs"):
        create_math_curriculum(2, 3)


def test_stages_take_30_30_40_per_cent():
    assert stage_fractions(3) == pytest.approx((0.3, 0.3, 0.4))
    spec = CurriculumSpec(levels=3)
    assert [spec.stage_at(p) for p in (0.0, 0.29, 0.3, 0.59, 0.6, 1.0)] == [0, 0, 1, 1, 2, 2]


def test_competence_follows_the_square_root():
    # sqrt(t (1 - c0^2) / T + c0^2) with c0 = .01, T = 1: .01, .50007, .70714, 1 (by hand).
    assert [round(competence(t, full_at=1.0), 5) for t in (0.0, 0.25, 0.5, 1.0)] == [0.01, 0.50007, 0.70714, 1.0]
    assert competence(0.35, initial=0.1, full_at=0.7) == pytest.approx((0.5 * 0.99 + 0.01) ** 0.5)


def test_curriculum_settings_are_checked_by_name():
    assert CurriculumSpec(strategy=Strategy.COMPETENCE, initial=0.1).initial == 0.1
    for settings, field in [
        ({"strategy": "SUDDEN"}, "curriculum.strategy"),
        ({"levels": 0}, "curriculum.levels"),
        ({"levels": 1, "ranges": ((0.0, 5.0),)}, "curriculum.ranges"),
        ({"full_at": 0.0}, "curriculum.full_at"),
    ]:
        with pytest.raises(BadConfig) as caught:
            CurriculumSpec(**settings)
        assert caught.value.field == field


# Difficulty


def test_flesch_kincaid_by_hand():
    # 6 words, 1 sentence, 6 syllables: .39 * 6 + 11.8 * 1 - 15.59 = -1.45, the figure quoted for this sentence.
    assert flesch_kincaid_grade("The cat sat on the mat.") == pytest.approx(-1.45)
    # 16 words, 23 syllables by hand: .39 * 16 + 11.8 * 23 / 16 - 15.59.
    text = "This sentence, taken as a reading passage unto itself, is being used to prove a point."
    assert flesch_kincaid_grade(text) == pytest.approx(7.6125)
    assert flesch_kincaid_grade("") == 0.0
    assert readability_difficulty("The cat sat on the mat.") == 1.0


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("cat", 1),
        ("table", 2),
        ("reading", 2),
        ("education", 4),
        ("made", 1),
        ("jumped", 1),
        ("wanted", 2),
        ("houses", 2),
    ],
)
def test_syllables(word, syllables):
    assert count_syllables(word) == syllables


def test_code_gets_harder_with_branches_and_nesting():
    flat = "x = 1\ny = x + 2\nprint(y)\n"
    loop = "def f(n):\n    t = 0\n    for i in range(n):\n        if i % 2:\n            t += i\n    return t\n"
    nested = "class A:\n    def g(self, rows):\n" + "".join(
        "        " + "    " * depth + line + "\n"
        for depth, line in enumerate(
            [
                "for a in rows:",
                "if a and not a.b:",
                "while a:",
                "try:",
                "with open(a) as f:",
                "return [x for x in f]",
            ]
        )
    )
    nested += "                    except ValueError:\n                        pass\n"
    levels = [code_difficulty(code) for code in (flat, loop, nested)]
    assert levels == sorted(levels)
    assert levels[0] < 1.3 < levels[1] < levels[2] <= 5.0
    assert code_difficulty("if (a) { while (b) { for (;;) { x(); } } }", "java") > code_difficulty("int a = 1;", "java")


def test_levels_outside_1_to_5_are_refused():
    assert [math_level(v, where="r") for v in ("Level 3", 2, "5", 1.5)] == [3.0, 2.0, 5.0, 1.5]
    for bad in (0, 6, "Level ?", None):
        with pytest.raises(BadSource, match="1 to 5"):
            math_level(bad, where="r")


def test_gsm8k_has_the_published_numbers_of_calculations(shared_data):
    rows = [json.loads(line) for line in (shared_data / "math" / "gsm8k.train.jsonl").read_text().splitlines()]
    counts = Counter(gsm8k_calculations(row["answer"]) for row in rows)
    assert [counts[n] for n in (1, 2, 3, 4, 5)] == [404, 2175, 2137, 1424, 785]
    assert sum(count for n, count in counts.items() if n >= 6) == 453


def test_domain_data_sets_take_the_real_files(shared_data):
    math = create_domain_dataset("math", difficulty_range=(4, 5), source=str(shared_data / "math" / "gsm8k.test.jsonl"))
    assert {d.difficulty for d in math} == {4.0, 5.0}
    code = create_domain_dataset("code", source=str(shared_data / "code" / "mbpp.jsonl"))
    assert code.info(sample_documents=None)["documents"] == 974
    science = create_domain_dataset("science", source=str(shared_data / "science" / "scitldr-a.dev.jsonl"))
    facts = science.info(sample_documents=None)
    assert facts["documents"] == 619
    assert max(facts["documents_by_level"]) == 5


# Domain data sets


def test_a_factory_makes_each_domain_and_info_counts_what_is_there():
    assert create_domain_dataset("math").info()["domain"] == "math"
    assert create_domain_dataset("code", languages=["python"]).info(sample_documents=40)["documents"] == 40
    facts = create_domain_dataset("math", difficulty_range=(1, 3)).info(sample_documents=300)
    assert set(facts["documents_by_level"]) == {1, 2, 3}
    assert sum(facts["documents_by_level"].values()) == facts["documents"] == 300
    science = create_domain_dataset("science", fields=["biology"])
    assert {d.meta["field"] for d, _ in zip(science, range(30), strict=False)} == {"biology"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("history", {}, "code, math, science"),
        ("code", {"languages": ["klingon"]}, "klingon"),
        ("code", {"languages": ["rust"]}, "source of your own"),
        ("code", {"languages": []}, "no language"),
        ("math", {"difficulty_range": (0, 3)}, "1 <= low"),
        ("math", {"difficulty_range": (4, 2)}, "1 <= low"),
        ("math", {"levels": 3}, "difficulty_range"),
        ("science", {"fields": ["alchemy"]}, "physics"),
        ("code", {"source": "sample://chat"}, "conversations"),
    ],
)
def test_domains_refuse_what_they_do_not_know(name, options, message):
    with pytest.raises(BadSource, match=message):
        create_domain_dataset(name, **options)


def test_languages_choose_files(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.rs").write_text("fn main() {}\n")
    rust = create_domain_dataset("code", languages=["rust"], source=str(tmp_path))
    assert [d.text for d in rust] == ["fn main() {}\n"]
    with pytest.raises(BadSource, match="no document that fits"):
        list(create_domain_dataset("code", languages=["go"], source=str(tmp_path)))


def test_the_digest_of_a_data_set_follows_its_options():
    assert source_digest(MathDataset((1, 2))) != source_digest(MathDataset((1, 3)))


@pytest.mark.parametrize("module", ["curriculum", "mixture"])
def test_the_demonstrations_run(module):
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", f"model.cli.{module}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("sample://math" if module == "curriculum" else "error diffusion") in done.stdout
    if module == "curriculum":
        promised = [line for line in done.stdout.splitlines() if "least 3, median 3, most 3" in line]
        assert [line.split()[0] for line in promised] == ["STAGED", "RANDOM"]
        (competence,) = [line for line in done.stdout.splitlines() if "COMPETENCE" in line and "steps:" in line]
        assert "least 3" not in competence
