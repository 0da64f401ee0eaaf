"""Videos: which frames, untrusted files, inputs of the families beside transformers' own."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from PIL import Image
from transformers import AutoModelForImageTextToText

from limner.errors import ModelMissing, SourceError, UserError
from limner.tests.tiny_chat_models import FAMILIES, chat_model
from limner.tests.tiny_videos import CODECS, counting, film, number_of
from limner.tools.chat_models.families import family_of
from limner.tools.chat_models.pictured import Conversation, conversation_of
from limner.tools.chat_models.processing import Prepared, Preparer
from limner.tools.chat_models.qwen2_vl import Qwen2VL
from limner.tools.video import (
    Video,
    check_video,
    clock,
    is_video,
    read_video,
    sampled,
    stills,
    thinned,
)

QWEN = [family for family in FAMILIES if family.startswith("qwen")]

# ── which frames ─────────────────────────────────────────────────────────────────────────────

# What Qwen2VLVideoProcessor.sample_frames gives for so many frames at so many a second.
REFERENCE = {
    (60, 30): [0, 15, 30, 45],
    (100, 25): [0, 12, 25, 37, 50, 62, 75, 87],
    (75, 30): [0, 18, 37, 56],
    (96, 24): [0, 12, 24, 36, 48, 60, 72, 84],
    (4, 30): [0, 1, 2, 3],
    (10, 60): [0, 2, 5, 7],
    (90, 15): [0, 7, 15, 22, 30, 37, 45, 52, 60, 67, 75, 82],
}


def constant(total: int, fps: Fraction | int) -> list[int]:
    step = Fraction(90_000) / Fraction(fps)
    assert step.denominator == 1
    return sampled([n * int(step) for n in range(total)], total * int(step), Fraction(90_000))


@pytest.mark.parametrize("length", REFERENCE)
def test_frames_are_those_of_the_reference(length: tuple[int, int]) -> None:
    assert constant(*length) == REFERENCE[length]


@given(
    gaps=st.lists(st.integers(1, 5000), min_size=1, max_size=200),
    second=st.sampled_from([24, 1000, 90_000]),
)
def test_samples_are_even_in_number_ordered_and_within(gaps: list[int], second: int) -> None:
    ticks = np.cumsum([7, *gaps])
    chosen = sampled(ticks[:-1].tolist(), int(ticks[-1]), Fraction(second))
    assert chosen == sorted(chosen) and chosen[0] == 0 and chosen[-1] < len(gaps)
    assert len(chosen) % 2 == 0 and 2 <= len(chosen) <= 768
    if len(gaps) <= 3 and len(set(gaps)) == 1:
        assert set(chosen) == set(range(len(gaps)))


@pytest.mark.parametrize("kind", CODECS)
def test_every_kind_of_file_gives_its_frames_and_times(kind: str) -> None:
    data = film(counting(90), 30, kind)
    video = read_video(data)
    if kind != "gif":  # whose few colours do not count so far
        assert [number_of(frame) for frame in video.frames] == [0, 15, 30, 45, 60, 75]
    assert video.times == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.02)
    assert video.duration == pytest.approx(3, abs=0.05)
    assert {frame.size for frame in video.frames} == {(96, 64)}
    assert is_video(data) is (kind not in ("gif", "apng"))


def test_a_variable_rhythm_is_sampled_in_time() -> None:
    # Four frames in the first second, one that stands for five, two at the end.
    times = [0, 0.25, 0.5, 0.75, 1, 6, 6.5]
    video = read_video(film(counting(7), 4, times=times))
    shown = [max(n for n, at in enumerate(times) if at <= t + 0.001) for t in video.times]
    assert [number_of(frame) for frame in video.frames] == shown
    assert shown.count(4) > len(shown) / 2
    assert list(video.times) == sorted(set(video.times))


def test_rotation_is_honoured() -> None:
    picture = Image.new("RGB", (96, 64), "black")
    picture.paste((255, 255, 255), (0, 0, 96, 16))  # white at the top
    for turned, place in ((90, (5, 48)), (180, (48, 60)), (270, (60, 48))):
        frame = read_video(film([picture] * 4, turned=turned)).frames[0]
        assert frame.size == ((96, 64) if turned == 180 else (64, 96))
        dark = (frame.width - 1 - place[0], frame.height - 1 - place[1])
        assert frame.getpixel(place)[0] > 200 > 50 > frame.getpixel(dark)[0], turned  # type: ignore[index]


def test_frames_are_scaled_down_and_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = film(counting(60, (640, 360)), 30)
    assert read_video(data).frames[0].size == (640, 360)
    width, height = read_video(data, pixels=10_000).frames[0].size
    assert 9_500 < width * height <= 10_000 and width / height == pytest.approx(16 / 9, rel=0.02)
    monkeypatch.setattr("limner.tools.video._KEPT_PIXELS", 4_000)
    frames = read_video(data).frames
    assert sum(frame.width * frame.height for frame in frames) <= 4_000


def test_one_frame_two_frames_and_thinning() -> None:
    one = read_video(film(counting(1)))
    assert [number_of(frame) for frame in one.frames] == [0, 0]
    three = read_video(film(counting(3), 1))
    assert {number_of(frame) for frame in three.frames} == {0, 1, 2}
    video = Video(tuple(counting(10)), tuple(map(float, range(10))), 10.0)
    assert thinned(video, 4).times == (0, 2, 5, 7) and thinned(video, 10) is video


def test_clock() -> None:
    assert [clock(s) for s in (0, 2.5, 59.96, 61, 3725)] == [
        *("0:00.0", "0:02.5", "1:00.0", "1:01.0", "1:02:05.0"),
    ]


# ── untrusted files ──────────────────────────────────────────────────────────────────────────


def sound() -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        "v=0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n{}",
        "[playlist]\nFile1={}\n",
    ],
)
@pytest.mark.parametrize("more", ["", ",concat,hls,sdp"])
def test_a_list_that_points_elsewhere_is_refused(
    text: str, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such lists are no format that is read; were they one, no other file would be opened.
    from limner.tools import video_files

    monkeypatch.setattr(video_files, "_FORMATS", video_files._FORMATS + more)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.mp4").write_bytes(film(counting(8)))
    for place in ("secret.mp4", f"file://{tmp_path}/secret.mp4", "http://127.0.0.1:9/secret.mp4"):
        data = text.format(place).encode()
        (tmp_path / "clip.mp4").write_bytes(data)
        for source in (data, tmp_path / "clip.mp4"):
            with pytest.raises(SourceError):
                read_video(source)


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi", "gif"])
def test_a_file_that_breaks_off_is_a_source_error_or_a_shorter_video(kind: str) -> None:
    whole = film(counting(60), 30, kind)
    for length in (0, 3, 40, len(whole) // 3, len(whole) - 200, len(whole) - 1):
        try:
            assert number_of(read_video(whole[:length]).frames[0]) == 0
        except SourceError as error:
            assert error.hint


@given(st.data())
def test_damage_is_a_source_error(data: st.DataObject) -> None:
    raw = bytearray(_DAMAGED[data.draw(st.sampled_from(sorted(_DAMAGED)))])
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_video(bytes(raw)).frames
    except SourceError as error:
        assert str(error).startswith("the video")


_DAMAGED = {kind: film(counting(8), 4, kind) for kind in ("mp4", "webm", "avi", "apng")}


def test_what_is_no_video_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for data, words in (
        (b"", "not a video"),
        (b"%PDF-1.7", "not a video"),
        (b"YUV4MPEG2 W16 H16 F25:1\n" + (b"FRAME\n" + bytes(384)) * 8, "not a video"),
        (sound(), "no moving pictures"),
        (film(counting(2, (4000, 4002))), "16 megapixels"),
        (film(counting(3), times=[0, 1, 3700]), "longer than"),
    ):
        with pytest.raises(SourceError, match=words):
            read_video(data)
    with pytest.raises(SourceError, match="no such file"):
        read_video(tmp_path / "gone.mp4")
    monkeypatch.setattr("limner.tools.video_files._MAX_DECODED", 100_000)
    with pytest.raises(SourceError, match="too many frames"):
        check_video(film(counting(30)))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModelMissing, match="PyAV") as told:
        read_video(film_without_av)
    assert told.value.hint == "pip install 'limner[video]'"


film_without_av = film(counting(2))


# ── stills ───────────────────────────────────────────────────────────────────────────────────


def screens(*colours: str, each: int = 30) -> list[Image.Image]:
    made = []
    for number, colour in enumerate(colours):
        screen = Image.new("RGB", (640, 400), "white")
        screen.paste(Image.new("RGB", (160, 60), colour), (40, 40 + 70 * (number % 4)))
        made += [screen] * each
    return made


def test_stills_are_the_different_screens_in_full_size() -> None:
    data = film(screens("red", "green", "blue", each=45), 30)
    video = stills(data)
    assert all(came <= at < came + 0.6 for at, came in zip(video.times, (0, 1.5, 3), strict=True))
    assert video.frames[0].size == (640, 400)
    red, green, _ = video.frames[0].getpixel((60, 60))  # type: ignore[misc]
    assert red > 200 > 50 > green
    many = stills(film(screens(*["red", "green", "blue", "black"] * 5, each=15), 30))
    assert len(many.frames) == 8
    assert many.times[0] == 0 and many.times[-1] >= 9.5


def test_a_cursor_makes_no_new_still() -> None:
    screen = Image.new("RGB", (1280, 800), "white")
    blinking = screen.copy()
    blinking.paste((0, 0, 0), (600, 400, 604, 424))
    assert len(stills(film([screen, blinking] * 6, 4)).frames) == 1


# ── questions with videos ────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    place = tmp_path_factory.mktemp("models")

    def folder(family: str) -> Path:
        made = place / family
        return made if made.exists() else chat_model(made, family)

    return folder


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    dice = np.random.default_rng(seed)
    small = Image.fromarray(dice.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def block(data: bytes, kind: str = "video") -> dict[str, Any]:
    return {"type": kind, "base64": base64.b64encode(data).decode(), "mime_type": "video/mp4"}


def url(data: bytes) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{text}"}}


def question(*parts: Any) -> list[Any]:
    return [HumanMessage([{"type": "text", "text": "What happens?"}, *parts])]


def png(picture: Image.Image) -> dict[str, Any]:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return block(stream.getvalue(), "image")


def prepared(folder: Path, family: str, conversation: Conversation, budget: int = 4096) -> Prepared:
    preparer = Preparer(folder, family_of(family))
    return preparer.prepare([conversation], preparer.limit(conversation, budget))


FILM = [noise(160, 96, n) for n in range(12)]


@pytest.mark.parametrize("family", QWEN)
def test_patches_hold_two_frames_each(family: str, folders: Callable[[str], Path]) -> None:
    conversation = conversation_of(question(block(film(FILM, 4))))
    out = prepared(folders(family), family, conversation).inputs
    (t, h, w), patch = out["video_grid_thw"][0].tolist(), 16 if family == "qwen3_vl" else 14
    images = Preparer(folders(family), family_of(family)).processor.image_processor
    values = out["pixel_values_videos"].numpy()
    values = values.reshape(t, h // 2, w // 2, 2, 2, 3, 2, patch, patch)
    # (pairs, in pair, colour, rows, columns) again
    frames = values.transpose(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(-1, 3, h * patch, w * patch)
    video = conversation.videos[0]
    assert len(frames) == len(video.frames) == 6
    for ours, frame in zip(frames, video.frames, strict=True):
        resized = frame.resize((w * patch, h * patch), Image.Resampling.BICUBIC)
        plain = np.asarray(resized, np.float32).transpose(2, 0, 1) / 255
        mean, std = (np.reshape(v, (3, 1, 1)) for v in (images.image_mean, images.image_std))
        assert np.abs((plain - mean) / std - ours).max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_a_direct_call(family: str, folders: Callable[[str], Path]) -> None:
    messages = question(block(film(FILM, 4)), {"type": "text", "text": "And here?"}, png(FILM[0]))
    model = Qwen2VL.load(str(folders(family)), max_tokens=8)
    ours = prepared(folders(family), family, conversation_of(messages))
    plain = AutoModelForImageTextToText.from_pretrained(folders(family), dtype=torch.float32)
    inputs = dict(ours.inputs)
    if not family.startswith("qwen"):
        del inputs["mm_token_type_ids"]
    out = plain.eval().generate(**inputs, max_new_tokens=8, do_sample=False)
    tokens = out[0, inputs["input_ids"].shape[1] :].tolist()
    answer = model.invoke(messages)
    assert answer.text == model._engine.text_of(tokens)
    usage = answer.usage_metadata
    assert usage is not None and usage["input_tokens"] == ours.tokens[0]
    assert usage["input_token_details"]["image"] == ours.image_tokens[0] > 0  # type: ignore[typeddict-item]
    # The keys of a beginning that is shared must not be those of another video.
    other = question(block(film(FILM[::-1], 4)), *messages[0].content[2:])
    assert (
        model.invoke(other).text
        == Qwen2VL.load(str(folders(family)), max_tokens=8).invoke(other).text
    )


@pytest.mark.parametrize("family", QWEN)
@pytest.mark.parametrize(("budget", "pairs"), [(100, 1), (1000, 3), (4096, 20)])
def test_a_budget_covers_videos(
    family: str, budget: int, pairs: int, folders: Callable[[str], Path]
) -> None:
    long = Video(tuple(noise(320, 192, n) for n in range(40)), tuple(n / 2 for n in range(40)), 20)
    short = Video(tuple(noise(96, 64, n) for n in range(4)), (0, 0.5, 1, 1.5), 2)
    parts = [{"type": kind} for kind in ("video", "image", "video")]
    conversation = Conversation(
        [{"role": "user", "content": parts}], [noise(640, 384)], [long, short]
    )
    out = prepared(folders(family), family, conversation, budget)
    assert budget / 4 < out.image_tokens[0] <= budget
    assert out.inputs["video_grid_thw"][0, 0] == pairs
    assert out.seen[0][0] > 0 and len(out.seen) == 1


@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_onevision", "chameleon"])
def test_other_families_see_frames_with_their_times(
    family: str, folders: Callable[[str], Path]
) -> None:
    conversation = conversation_of(question(png(FILM[0]), block(film(FILM, 4))))
    preparer = Preparer(folders(family), family_of(family))
    few, many = (
        preparer.prepare([conversation], preparer.limit(conversation, budget))
        for budget in (70, 4096)
    )
    assert few.image_tokens[0] <= 70 or len(few.seen) == 2  # one frame at the least
    assert len(few.seen) < len(many.seen) == 7
    text = preparer.tokenizer.decode(many.inputs["input_ids"][0])
    times = [f"Frame at 0:0{n // 2}.{n % 2 * 5}: " for n in range(6)]
    places = [text.index(time) for time in times]
    assert places == sorted(places)


def test_several_of_a_kind_are_counted() -> None:
    data = film(counting(8), 4)
    turns = conversation_of(question(url(data), png(FILM[0]), block(data))).turns
    texts = [part.get("text", part["type"]) for part in turns[0]["content"]]
    assert texts == ["What happens?", "Video 1: ", "video", "image", "Video 2: ", "video"]


def test_only_what_comes_with_the_message_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(film(counting(8)))
    for part in (
        {"type": "video", "url": path.as_uri()},
        {"type": "video", "path": str(path)},
        {"type": "video_url", "video_url": {"url": str(path)}},
        {"type": "video_url", "video_url": {"url": "http://127.0.0.1:9/clip.mp4"}},
    ):
        with pytest.raises(UserError, match="comes with the message"):
            conversation_of(question(part))
    with pytest.raises(SourceError, match="video 1"):
        conversation_of(question(block(b"no video")))


# ── beside transformers' own video processors ────────────────────────────────────────────────


@pytest.fixture
def reference(tmp_path: Path) -> Callable[[dict[str, Any]], Any]:
    """``video_reference`` in a process that has torchvision; ours must not load it."""
    folder = os.environ.get("LIMNER_TORCHVISION", "")
    if not folder:
        pytest.skip(
            "needs torchvision aside: pip install --no-deps --target FOLDER torchvision, "
            "then LIMNER_TORCHVISION=FOLDER"
        )

    def ask(request: dict[str, Any]) -> Any:
        torch.save(request, tmp_path / "request")
        script = Path(__file__).with_name("video_reference.py")
        done = subprocess.run(
            [sys.executable, script, tmp_path / "request", tmp_path / "answer"],
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return torch.load(tmp_path / "answer", weights_only=False)

    return ask


def test_sampling_beside_the_reference(reference: Callable[[dict[str, Any]], Any]) -> None:
    lengths = list(REFERENCE) + [
        (total, fps)
        for fps in (2, 5, 10, 12, 15, 24, 25, 30, 48, 50, 60)
        for total in range(4, 400, 7)
        if total % 2 == 0 or total >= 2 * total / fps
    ]
    found = reference({"what": "indices", "lengths": lengths})
    for length, indices in zip(lengths, found, strict=True):
        ours = constant(*length)
        if len(indices) % 2 == 0:  # where rounding has it count past the end
            assert ours == indices, length
        assert length not in REFERENCE or indices == REFERENCE[length]


@pytest.mark.parametrize("family", QWEN)
@pytest.mark.parametrize("frames", [6, 7])
def test_inputs_beside_the_reference(
    family: str,
    frames: int,
    folders: Callable[[str], Path],
    reference: Callable[[dict[str, Any]], Any],
) -> None:
    video = Video(tuple(FILM[:frames]), tuple(n / 2 for n in range(frames)), frames / 2)
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What happens?"}, {"type": "video"}]
    turns = [{"role": "user", "content": parts}]
    ours = prepared(folders(family), family, Conversation(turns, [], [video])).inputs
    side = 32 if family == "qwen3_vl" else 28
    times = frames if family == "qwen3_vl" else 1  # whose bounds are those of all frames together
    expected = reference(
        {
            "what": "inputs",
            "family": family,
            "folder": folders(family),
            "turns": turns,
            "frames": [np.asarray(frame) for frame in video.frames],
            "size": {
                "shortest_edge": 128 * side**2 * times,
                "longest_edge": 768 * side**2 * times,
            },
            "metadata": {
                "total_num_frames": frames * 15,
                "fps": 30.0,
                "frames_indices": [15 * n for n in range(frames)],
            },
        }
    )
    assert ours.keys() == expected.keys()
    for name, value in ours.items():
        if name == "pixel_values_videos":
            assert value.shape == expected[name].shape
            apart = (value - expected[name]).abs()
            assert apart.max() < 0.0301 and apart.mean() < 0.002  # two levels of 255 at the most
        else:
            assert torch.equal(value, torch.as_tensor(expected[name])), name
