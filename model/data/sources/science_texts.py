"""`sample://science`: short scientific texts from tables of facts, by field and at three levels of language.

The facts are true (laws of physics with computed numbers, properties of elements, planets, rocks and organs); the same
fact is told in the words of a school book (easy), of a lecture (medium) or of an article (hard). Difficulty is measured
on the finished text with the Flesch-Kincaid grade, not taken from the template.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from model.data.difficulty import readability_difficulty
from model.data.sources.generated import GeneratedSource
from model.document import Document, content_origin
from model.errors import BadSource

ELEMENTS = (  # name, symbol, atomic number, standard atomic weight, group of substances
    ("hydrogen", "H", 1, 1.008, "nonmetal"),
    ("helium", "He", 2, 4.0026, "noble gas"),
    ("carbon", "C", 6, 12.011, "nonmetal"),
    ("nitrogen", "N", 7, 14.007, "nonmetal"),
    ("oxygen", "O", 8, 15.999, "nonmetal"),
    ("sodium", "Na", 11, 22.990, "alkali metal"),
    ("magnesium", "Mg", 12, 24.305, "alkaline earth metal"),
    ("chlorine", "Cl", 17, 35.45, "halogen"),
    ("iron", "Fe", 26, 55.845, "transition metal"),
    ("copper", "Cu", 29, 63.546, "transition metal"),
    ("gold", "Au", 79, 196.97, "transition metal"),
)
PLANETS = (  # name, mean distance from the Sun in astronomical units, year in Earth years, known for
    ("Mercury", 0.387, 0.241, "the strongest swings of temperature between day and night"),
    ("Venus", 0.723, 0.615, "a dense atmosphere of carbon dioxide"),
    ("Earth", 1.0, 1.0, "oceans of liquid water"),
    ("Mars", 1.524, 1.881, "iron oxides that colour its surface red"),
    ("Jupiter", 5.203, 11.86, "a storm that has been seen for centuries"),
    ("Saturn", 9.54, 29.45, "bright rings of ice"),
    ("Uranus", 19.19, 84.02, "an axis that lies almost in its orbital plane"),
    ("Neptune", 30.07, 164.8, "the fastest winds of all planets"),
)
ORGANS = (  # organ, task in plain words, task in technical words
    ("heart", "pumps blood through the body", "maintains circulation by rhythmic myocardial contraction"),
    ("lung", "takes oxygen from the air", "facilitates gaseous exchange across the alveolar epithelium"),
    ("kidney", "cleans the blood", "regulates osmolarity through glomerular filtration and tubular reabsorption"),
    ("liver", "breaks down poisons", "performs metabolic detoxification and glycogen storage"),
    ("leaf", "makes sugar from light", "accomplishes photosynthetic carbon fixation in its mesophyll"),
    ("root", "takes up water", "absorbs water and dissolved minerals through its epidermal hairs"),
)
ROCKS = (  # rock, family, how it forms in plain words, in technical words
    (
        "granite",
        "igneous",
        "melted rock cools slowly below the ground",
        "felsic magma crystallises at considerable depth",
    ),
    ("basalt", "igneous", "lava cools fast at the surface", "mafic lava solidifies rapidly following extrusion"),
    (
        "sandstone",
        "sedimentary",
        "grains of sand are pressed together",
        "siliciclastic sediment undergoes lithification",
    ),
    ("limestone", "sedimentary", "shells pile up on the sea floor", "calcareous organisms accumulate and cement"),
    (
        "marble",
        "metamorphic",
        "limestone is heated and pressed",
        "carbonate protoliths recrystallise under metamorphism",
    ),
    (
        "slate",
        "metamorphic",
        "clay is squeezed for a long time",
        "argillaceous sediment acquires a pervasive foliation",
    ),
)


def _physics(r: random.Random, level: int) -> list[str]:
    m, v, t = r.randint(2, 40), r.randint(2, 30), r.randint(2, 12)
    energy, path, momentum = m * v * v / 2, v * t, m * v
    easy = [
        f"A ball of {m} kg moves at {v} m/s.",
        f"In {t} seconds it goes {path} m.",
        "A fast ball is hard to stop.",
        "If it moves twice as fast, it has four times the energy.",
    ]
    medium = [
        f"A body with a mass of {m} kg that moves at a speed of {v} m/s has a kinetic energy of {energy:g} J.",
        f"Its momentum is the product of mass and velocity, here {momentum} kg m/s.",
        f"Without friction it would cover {path} m during the next {t} seconds.",
        "Momentum is conserved in every collision, while kinetic energy is only conserved in an elastic one.",
    ]
    hard = [
        f"Considering a rigid projectile of inertial mass {m} kg and translational velocity {v} m/s, the corresponding "
        f"kinetic energy amounts to {energy:g} J under non-relativistic approximation.",
        f"Conservation of linear momentum, numerically {momentum} kg m/s in this configuration, follows from the "
        "translational invariance of the underlying Lagrangian according to Noether's theorem.",
        "Dissipative interactions, particularly viscous resistance, were neglected throughout this derivation.",
    ]
    return (easy, medium, hard)[level]


def _chemistry(r: random.Random, level: int) -> list[str]:
    name, symbol, number, weight, family = r.choice(ELEMENTS)
    moles = r.randint(2, 9)
    easy = [
        f"The sign for {name} is {symbol}.",
        f"Each atom of {name} has {number} proton{'s' if number > 1 else ''}.",
        "Atoms are too small to see.",
        f"The mass of {moles} moles of these atoms is {moles * weight:.4g} g.",
    ]
    medium = [
        f"The element {name}, with the symbol {symbol}, has the atomic number {number} and belongs to the group called "
        f"{family}.",
        f"Its standard atomic weight is {weight:g}, so that {moles} moles of its atoms have a mass of "
        f"{moles * weight:.4g} grams.",
        "The number of protons alone decides which element an atom is.",
    ]
    hard = [
        f"Elemental {name} ({symbol}, atomic number {number}), conventionally classified as {family}, exhibits "
        "characteristic reactivity determined predominantly by its valence electron configuration.",
        f"Gravimetric quantification presupposes the standard atomic weight of {weight:g}; accordingly, {moles} moles "
        f"correspond to {moles * weight:.4g} grams of monatomic material.",
        "Isotopic heterogeneity of terrestrial reservoirs nevertheless introduces measurable variability.",
    ]
    return (easy, medium, hard)[level]


def _astronomy(r: random.Random, level: int) -> list[str]:
    name, distance, year, known = r.choice(PLANETS)
    cubed, squared = distance**3, year**2
    easy = [f"{name} goes round the Sun.", f"One trip takes {year:g} Earth years.", f"{name} is known for {known}."]
    medium = [
        f"The mean distance of {name} from the Sun is {distance:g} astronomical units, and its year lasts {year:g} "
        "years on Earth.",
        f"The planet is known for {known}.",
        f"Kepler's third law can be checked: the cube of the distance is {cubed:.4g} and the square of the year is "
        f"{squared:.4g}.",
    ]
    hard = [
        f"The orbital period of {name}, approximately {year:g} sidereal years, satisfies Kepler's harmonic law: "
        f"with a semi-major axis of {distance:g} astronomical units, the cubed axis ({cubed:.4g}) approximates the "
        f"squared period ({squared:.4g}).",
        f"Observational characterisation additionally emphasises {known}.",
        "Gravitational perturbations by neighbouring planets account for residual deviations.",
    ]
    return (easy, medium, hard)[level]


def _biology(r: random.Random, level: int) -> list[str]:
    organ, plain, technical = r.choice(ORGANS)
    other, other_plain, other_technical = r.choice([entry for entry in ORGANS if entry[0] != organ])
    easy = [f"The {organ} {plain}.", f"The {other} {other_plain}.", "Each part has its own job.", "Cells do the work."]
    medium = [
        f"The {organ} is an organ that {plain}, while the {other} {other_plain}.",
        "Every organ consists of several tissues, and each tissue of cells of a similar kind.",
        f"When the {organ} fails, other organs can take over its task only in part.",
    ]
    hard = [
        f"Physiologically, the {organ} {technical}, whereas the {other} {other_technical}.",
        "Homeostatic regulation necessitates continuous intercellular communication among specialised tissues.",
        f"Pathological impairment of the {organ} consequently precipitates systemic dysregulation.",
    ]
    return (easy, medium, hard)[level]


def _geology(r: random.Random, level: int) -> list[str]:
    rock, family, plain, technical = r.choice(ROCKS)
    depth, rate = r.randint(1, 9), r.randint(2, 9)
    years = depth * 100_000 // rate
    easy = [
        f"{rock.capitalize()} is an {family} rock."
        if family == "igneous"
        else f"{rock.capitalize()} is a {family} rock."
    ]
    easy += [f"It forms when {plain}.", "This takes a very long time.", "You can find it on a walk in the hills."]
    medium = [
        f"The rock called {rock} belongs to the {family} rocks and forms when {plain}.",
        f"At {rate} centimetres in a thousand years, a layer of {depth} metres needs {years:,} years to settle.",
        "The age of a layer can be read from the fossils that it holds.",
    ]
    hard = [
        f"Petrographically, {rock} represents a {family} lithology that originates where {technical}.",
        f"Assuming a constant sedimentation rate of {rate} centimetres per millennium, an overburden of {depth} metres "
        f"necessitates approximately {years:,} years of uninterrupted deposition.",
        "Radiometric geochronology independently constrains the stratigraphic succession.",
    ]
    return (easy, medium, hard)[level]


_FIELDS: Mapping[str, Callable[[random.Random, int], list[str]]] = {
    "physics": _physics,
    "chemistry": _chemistry,
    "astronomy": _astronomy,
    "biology": _biology,
    "geology": _geology,
}
FIELDS = tuple(_FIELDS)


class ScienceSource(GeneratedSource):
    """Texts of the chosen `fields`, each field and each level of language equally often."""

    kind = "text"

    def __init__(self, *, uri: str = "sample://science", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(uri, options, {"fields": list(FIELDS)})
        fields = self.options["fields"]
        if not isinstance(fields, list | tuple) or not fields or not set(fields) <= set(FIELDS):
            raise BadSource(field=f"{uri}: fields", got=fields, expected=", ".join(FIELDS))

    def document(self, rng: random.Random) -> Document:
        """Two facts of one field at one level of language."""
        field, level = rng.choice(sorted(self.options["fields"])), rng.randrange(3)
        paragraphs = [" ".join(_FIELDS[field](rng, level)) for _ in range(2)]
        text = f"On {field}.\n\n" + "\n\n".join(paragraphs) + "\n"
        return Document(
            text=text,
            origin=content_origin(text, "science"),
            difficulty=readability_difficulty(text),
            meta={"field": field},
        )
