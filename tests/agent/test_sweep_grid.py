"""Grids: what their files say, multiplied out, in the order that costs least."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.sweep.grid import AXES, Settings, read_grid
from limner.errors import LimnerError, SourceError, UserError

EXAMPLES = Path(__file__).parents[2] / "examples" / "sweeps"


def grid(folder: Path, text: str):  # type: ignore[no-untyped-def]
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return read_grid(path)


def test_every_setting_is_an_axis() -> None:
    assert set(AXES) == {field.name for field in fields(Settings)}


def test_every_combination_once(tmp_path: Path) -> None:
    found = grid(
        tmp_path, 'prompt = ["a", "b"]\nsteps = [1, 2, 2]\nseed = "0-2"\nsize = [64, "8x16"]'
    )
    pictures = found.settings()
    assert len(pictures) == len(set(pictures)) == 2 * 2 * 3 * 2 == found.experiments[0].count
    assert {p.size for p in pictures} == {(64, 64), (8, 16)}
    assert found.experiments[0].varying == ("size", "prompt", "steps", "seed")


def test_models_change_least(tmp_path: Path) -> None:
    found = grid(
        tmp_path,
        'prompt = ["a", "b"]\nmodel = ["m", "n"]\nlora = ["", "x", "y"]\nsteps = [1, 2]\n'
        'lora_weight = [0.5, 1.0]\n[[experiment]]\n[[experiment]]\nprompt = "c"\n',
    ).settings()
    for part, most in (("model", 2), ("lora", 6)):
        values = [(p.model, p.lora)[: 1 if part == "model" else 2] for p in found]
        assert sum(a != b for a, b in pairwise(values)) == most - 1
    assert {p.lora_weight for p in found if not p.lora} == {1.0}
    assert len(found) == 3 * 2 * (2 * 2 * 2 + 2)  # an adapter that is none has no weights


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"10-50 (+10)"', (10, 20, 30, 40, 50)),
        ('"10-49(10)"', (10, 20, 30, 40)),
        ('"1-3"', (1, 2, 3)),
        ('["1-2", 9, "4-6 (+2)"]', (1, 2, 9, 4, 6)),
        ("7", (7,)),
    ],
)
def test_ranges_of_steps(tmp_path: Path, text: str, values: tuple[int, ...]) -> None:
    (axis,) = grid(tmp_path, f'prompt = "a"\nsteps = {text}').experiments[0].axes[1:]
    assert axis == ("steps", values)
    assert all(isinstance(value, int) for value in axis[1])


def test_ranges_of_fractions_do_not_drift(tmp_path: Path) -> None:
    (_, axis) = grid(tmp_path, 'prompt = "a"\nguidance = "0-1 (+0.1)"').experiments[0].axes
    assert axis[1] == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@given(first=st.integers(0, 500), steps=st.integers(0, 60), step=st.integers(1, 40))
def test_a_range_is_pythons(
    tmp_path_factory: pytest.TempPathFactory, first: int, steps: int, step: int
) -> None:
    last = first + steps * step
    text = f'prompt = "a"\nseed = "{first}-{last} (+{step})"'
    (_, axis) = grid(tmp_path_factory.mktemp("g"), text).experiments[0].axes
    assert axis == ("seed", tuple(range(first, last + 1, step)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no prompt"),
        ('prompt = "a"\nstep = 3', "no setting 'step'"),
        ('prompt = "a"\nsteps = 2.5', "steps = 2.5"),
        ('prompt = "a"\nsteps = "many"', "steps = 'many'"),
        ('prompt = "a"\nsteps = "5-1"', "steps"),
        ('prompt = "a"\nsteps = "1-5 (+0)"', "steps"),
        ('prompt = "a"\nsteps = "1-5.5.5"', "steps"),
        ('prompt = "a"\nsteps = "1-3 (+0.5)"', "steps"),
        ('prompt = "a"\nsteps = []', "no values"),
        ('prompt = "a"\nseed = true', "seed"),
        ("prompt = 5", "prompt"),
        ('prompt = "a"\nsize = "big"', "size"),
        ('prompt = "a"\nsize = "1-5"', "size"),
        ('prompt = "a"\nguidance = {a = 1}', "guidance"),
        ('prompt = "a"\nseed = "0-99999999999"', "too many values"),
        ('prompt = "a"\nseed = "0-100000000 (+1)"', "too many values"),
        ('prompt = "a"\nscheduler = " "', "scheduler = ' '"),
        ('prompt = "a"\nseed = "1-1000"\nsteps = "1-1000"', "1000000 pictures"),
        ("experiment = 5", "no table"),
        ("experiment = [5]", "no table"),
    ],
)
def test_faults_say_what_and_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=r"grid\.toml") as told:
        grid(tmp_path, text)
    assert says in str(told.value) and told.value.hint


@pytest.mark.parametrize("text", ["prompt = ", "\x00", "a = " + "[" * 5000])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError):
        grid(tmp_path, text)
    with pytest.raises(SourceError, match="No such file"):
        read_grid(tmp_path / "none.toml")


@given(st.dictionaries(st.sampled_from([*AXES, "name"]), st.text(max_size=8), max_size=4))
def test_whatever_stands_there_it_is_a_grid_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, str]
) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in told.items()]
    with suppress(LimnerError):
        grid(tmp_path_factory.mktemp("g"), "\n".join(lines)).settings()


def test_words_are_taken_as_they_can_be_shown_and_typed(tmp_path: Path) -> None:
    text = 'prompt = "a\\u001b[2Jboat"\nnegative = "\\u200brain"\nscheduler = ["DPM", "dpm "]'
    (one,) = grid(tmp_path, text).settings()
    assert (one.prompt, one.negative, one.scheduler) == ("aboat", "rain", "dpm")


def test_files_are_looked_for_beside_the_grid(tmp_path: Path) -> None:
    (tmp_path / "sketch.png").write_bytes(b"")
    (one,) = grid(tmp_path, 'prompt = "a"\nreference = "sketch.png"\nmodel = "org/name"').settings()
    assert one.reference == str(tmp_path / "sketch.png") and one.model == "org/name"


@pytest.mark.parametrize(("name", "count"), [("tiny", 24), ("sdxl", 32), ("lion", 4), ("sd15", 16)])
def test_the_examples(name: str, count: int) -> None:
    pictures = read_grid(EXAMPLES / f"{name}.toml").settings()
    assert len(pictures) == count


def test_the_examples_are_the_published_experiments() -> None:
    sdxl = read_grid(EXAMPLES / "sdxl.toml").experiments[0]
    assert dict(sdxl.axes)["guidance"] == (3.0, 5.5) and dict(sdxl.axes)["steps"] == (16, 28)
    lion = read_grid(EXAMPLES / "lion.toml").settings()
    assert {(p.size, p.steps) for p in lion if p.size} == {
        ((256, 256), 20),
        ((512, 512), 50),
        ((768, 768), 100),
    }
    sd15 = read_grid(EXAMPLES / "sd15.toml").settings()
    assert {p.steps for p in sd15} >= {20, 40, 70} and {p.guidance for p in sd15} >= {7.0, 9.0}
