"""Chat models on the command line: a server's answers and faults, and the models of the hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from limner.tests.tools.chat_server import HALF, REPLY, Serve, nowhere, serving, stats

VARIABLES = [f"LIMNER_{name}" for name in ("CHAT_KEY", "ENDPOINT", "CHAT_MODEL", "PROFILE")]
QUESTION = "When was the lighthouse built?"


def limner(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    unset = VARIABLES
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment |= {"HF_HUB_OFFLINE": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "limner", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        **options,
    )


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, in the folder with the library: it starts faster."""
    from limner.agent import cli

    monkeypatch.chdir(place)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["limner", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *said)

    return run


def one_line(run: subprocess.CompletedProcess[str], words: str) -> bool:
    """Whether an error is its cause in one line and the next step in another."""
    lines = run.stderr.strip().splitlines()
    error, hint = lines
    return error.startswith("error: ") and words in error and hint.startswith("try: ")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as begin:
        yield begin


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of one document, and a screenshot."""
    place = tmp_path_factory.mktemp("place")
    (place / "tides.md").write_text(
        "# Tides\n\nThe lighthouse was built in 1871 by Ada Berg. Its lamp turns in 12 seconds.\n"
    )
    assert limner("add", "tides.md", cwd=place).returncode == 0
    shot = Image.new("RGB", (640, 360), "white")
    pen, font = ImageDraw.Draw(shot), ImageFont.load_default(28)
    pen.text((40, 40), "Lighthouse settings", fill="black", font=font)
    pen.text((40, 120), "The lamp turns every 12 seconds.", fill="black", font=font)
    pen.text((480, 288), "Save", fill="black", font=font)
    shot.save(place / "shot.png")
    return place


def test_a_whole_turn_with_a_marked_screenshot(place: Path, serve: Serve) -> None:
    address = serve("mark")
    asked = ("ask", "Where do I save the lighthouse settings?", "-a", "shot.png", "--json")
    run = limner(*asked, "--profile", "server", "--endpoint", address, cwd=place)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert [part["type"] for part in answer["parts"]] == ["text", "picture"]
    assert answer["text"].startswith("The button is called Save.")
    assert answer["usage"] == {"input_tokens": 1400, "output_tokens": 9, "image_tokens": 1334}
    assert not answer["partial"]
    picture = answer["parts"][1]
    (box,) = picture["origin"]["boxes"]
    assert picture["origin"]["type"] == "marked"
    assert box[0] < 500 < box[2] and box[1] < 305 < box[3]
    with Image.open(picture["path"]) as marked, Image.open(place / "shot.png") as shot:
        assert marked.size == shot.size and marked.convert("RGB").tobytes() != shot.tobytes()
    (call,) = stats(address)["calls"]
    texts, image = call["body"]["messages"][-1]["content"]
    assert "12 seconds" in texts["text"]
    assert image["image_url"]["url"].startswith("data:image/")


def test_the_flags_and_their_variables(
    here: Here, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve("key")
    variables = {"ENDPOINT": address, "CHAT_KEY": "sesame", "CHAT_MODEL": "others"}
    for name, value in variables.items():
        monkeypatch.setenv(f"LIMNER_{name}", value)
    run = here("ask", QUESTION)
    assert run.returncode == 0 and "The lighthouse was built in 1871. [1]" in run.stdout
    assert stats(address)["calls"][0]["body"]["model"] == "others"
    run = here("ask", QUESTION, "--chat-model", "embedded")
    assert "by Ada Berg" in run.stdout
    assert stats(address)["requests"] == 1
    monkeypatch.setenv("LIMNER_CHAT_KEY", "wrong-secret")
    run = here("ask", QUESTION, "--chat-model", "letters")
    assert run.returncode == 3 and one_line(run, "another key (401: bad key Bearer …)")
    assert "wrong-secret" not in run.stderr


def test_what_is_said_beats_what_is_set(
    here: Here, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile on this machine sends nothing away, whatever a variable says."""
    address = serve()
    monkeypatch.setenv("LIMNER_ENDPOINT", address)
    for said in (("--profile", "embedded"), ("--chat-model", "embedded"), ("--endpoint", "")):
        run = here("ask", QUESTION, "--json", *said)
        assert json.loads(run.stdout)["model"] == "embedded"
    run = here("ask", QUESTION, "--profile", "local", "--chat-model", "no/folder/here")
    assert run.returncode == 3 and "no/folder/here" in run.stderr
    assert stats(address)["requests"] == 0
    run = here("ask", QUESTION, "--json")
    assert json.loads(run.stdout)["model"] == f"letters at {address}"
    assert f"answered by letters at {address}" in here("ask", QUESTION).stderr
    assert "answered by" not in here("ask", "Who won the chess olympiad?").stderr
    asked = stats(address)["requests"]
    monkeypatch.setenv("LIMNER_PROFILE", "embedded")
    assert here("ask", QUESTION, "--profile", "server").returncode == 0
    assert stats(address)["requests"] > asked
    asked = stats(address)["requests"]
    for command in (("ask", QUESTION), ("chat",), ("doctor",)):
        run = here(*command)
        assert run.returncode == 2 and "contradict" in run.stderr and "Usage" in run.stderr
        monkeypatch.delenv("LIMNER_PROFILE")
        run = here(*command, "--profile", "local", "--endpoint", address)
        assert run.returncode == 2 and "contradict" in run.stderr
        monkeypatch.setenv("LIMNER_PROFILE", "embedded")
    assert stats(address)["requests"] == asked


def test_how_long_a_server_is_waited_for(
    here: Here, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = here("ask", QUESTION, "--endpoint", serve("hang"), "--timeout", "0.3")
    assert run.returncode == 3 and one_line(run, "no word of an answer within 0.3 seconds")
    monkeypatch.setenv("LIMNER_TIMEOUT", "0.4")
    run = here("doctor", "--endpoint", serve("hang"))
    assert run.returncode == 3 and "within 0.4 seconds" in run.stdout
    assert here("ask", QUESTION, "--timeout", "0").returncode == 2
    assert "LIMNER_TIMEOUT" in here("ask", "--help").stdout


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("--profile", "bogus"), "no profile 'bogus'; one of: embedded, local, server."),
        (("--profile", "server"), "needs the address of one"),
        (("--endpoint", "file:///etc/passwd"), "is not the address of a server"),
        (("--endpoint", "127.0.0.1:8000"), "is not the address of a server"),
        (("--endpoint", "http://me:secret@host/v1"), "holds a password"),
    ],
)
def test_what_was_typed_wrongly_is_a_usage_error(
    here: Here, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str], words: str
) -> None:
    for command in (("ask", QUESTION), ("chat",), ("doctor",)):
        run = here(*command, *said)
        told = " ".join(run.stderr.split())
        assert run.returncode == 2 and words in told and "Usage" in told, told
    monkeypatch.setenv(f"LIMNER_{said[0].removeprefix('--').upper()}", said[1])
    run = here("ask", QUESTION)
    assert run.returncode == 2 and words in " ".join(run.stderr.split())
    assert here("ask", QUESTION, "--profile", "embedded").returncode == 0


def test_an_empty_question_loads_nothing(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from limner.tools.chat_models.qwen2_vl import Qwen2VL

    loaded: list[str] = []
    monkeypatch.setattr(Qwen2VL, "load", loaded.append)
    for nothing in ("", " \n "):
        run = here("ask", nothing, "--chat-model", "a/model")
        assert run.returncode == 1 and one_line(run, "the question is empty")
    assert loaded == []


def test_a_profile_that_lacks_something(here: Here) -> None:
    for local in (("--profile", "local"), ("--chat-model", "no/folder/here")):
        run = here("ask", QUESTION, *local)
        assert run.returncode == 3 and one_line(run, "")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("unknown", "no model 'letters' here"),
        ("busy+wait=1000", "busy"),
        ("long", "longer than letters reads"),
        ("breaks", "failed (500"),
        ("empty", "empty answer"),
        ("html", "nothing of a stream"),
        ("down", "no chat server answers"),
    ],
)
def test_each_fault_is_one_line_and_a_hint(here: Here, serve: Serve, mode: str, words: str) -> None:
    address = nowhere() if mode == "down" else serve(mode)
    run = here("ask", QUESTION, "--endpoint", address, "--json")
    assert (run.returncode, run.stdout) == (3, "")
    assert one_line(run, words), run.stderr


@pytest.mark.parametrize("mode", ["half", "clean-half", "oops", "latin", "error"])
def test_what_had_come_is_kept_and_labelled(here: Here, serve: Serve, mode: str) -> None:
    address = serve(mode)
    run = here("ask", QUESTION, "--endpoint", address, "--json")
    answer = json.loads(run.stdout)
    assert run.returncode == 3 and answer["partial"] and answer["text"] == HALF.strip()
    assert one_line(run, address)
    if mode == "half":
        run = here("ask", QUESTION, "--endpoint", address)
        assert run.returncode == 3
        assert run.stdout.splitlines() == ["Incomplete: this answer was cut short", HALF.strip()]


def test_a_conversation_lives_on(place: Path, serve: Serve) -> None:
    said = f"{QUESTION}\n{QUESTION}\n/why\n/profile\n/profile embedded\n{QUESTION}\n"
    run = limner("chat", "--endpoint", serve("half-once"), cwd=place, input=said)
    assert run.returncode == 0, run.stderr
    cut, whole = run.stdout.index("Incomplete: "), run.stdout.index(REPLY)
    assert cut < run.stdout.index(HALF) < whole < run.stdout.index("by Ada Berg")
    assert "1400 read, 9 written" in run.stdout and "server (now)" in run.stdout
    assert "error: " in run.stderr and "Traceback" not in run.stderr


def test_doctor_looks_at_a_server(here: Here, serve: Serve) -> None:
    run = here("doctor", "--endpoint", serve())
    assert run.returncode == 0, run.stdout
    for line in ("ok  server: ", "lists letters, others (", "ok  streaming: letters: the first"):
        assert line in run.stdout
    assert "ok  pictures: letters takes them" in run.stdout
    run = here("doctor", "--endpoint", serve("unknown"), "--json")
    found = {finding["what"]: finding for finding in json.loads(run.stdout)}
    assert run.returncode == 3 and found["server"]["status"] == "ok"
    assert "no model 'letters'" in found["chat model"]["detail"] and found["chat model"]["hint"]
    run = here("doctor", "--endpoint", nowhere())
    assert run.returncode == 3 and "no chat server answers" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_doctor_on_a_model_without_eyes(serve: Serve) -> None:
    from limner.agent.server_check import examine_server

    server, streaming, pictures = examine_server(serve("blind-pictures+endless"))
    assert (server.status, streaming.status, pictures.status) == ("ok", "ok", "note")
    assert "takes no such picture" in pictures.detail and pictures.hint
    assert list(examine_server(serve("whole")))[1].detail.startswith("letters answers in one piece")


# ── models of the hub ────────────────────────────────────────────────────────────────────────

NAME = "tiny/model"
FILES = {
    "config.json": b"{}",
    "tokenizer_config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"not to be fetched",
    "run.py": b"print('nor this')",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as fetching a model takes."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.respond(body=True)

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def respond(self, body: bool) -> None:
        path, commit = self.path.partition("?")[0], "0123456789" * 4
        content, headers = b"", {}
        if path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [{"type": "file", "path": f, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                    for f, c in FILES.items()]  # fmt: skip
            content = json.dumps(tree).encode()
        elif path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": file} for file in FILES]
            content = json.dumps({"id": NAME, "sha": commit, "siblings": siblings}).encode()
        elif path.startswith(f"/{NAME}/resolve/") and (file := path.rpartition("/")[2]) in FILES:
            content = FILES[file]
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
            self.asked.append(file)
        else:
            headers = {"X-Error-Code": "RepoNotFound"}
        self.send_response(200 if content else 404)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_is_fetched_and_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with hub() as address:
        here = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
        missing = limner("models", "where", NAME, cwd=tmp_path, env=here)
        assert missing.returncode == 3 and one_line(missing, "missing config.json")
        assert str(cache) in missing.stderr and f"limner models pull {NAME}" in missing.stderr
        run = limner("models", "pull", NAME, cwd=tmp_path, env=here)
        assert run.returncode == 0, run.stderr
        folder = Path(run.stdout.strip())
        assert {path.name for path in folder.iterdir()} == set(FILES) - {
            "pytorch_model.bin",
            "run.py",
        }
        assert not {"pytorch_model.bin", "run.py"} & set(Hub.asked)
        stranger = limner("models", "pull", "no/such", cwd=tmp_path, env=here)
        assert stranger.returncode == 3 and one_line(stranger, "no/such cannot be downloaded")
        assert "limner models ls" in stranger.stderr
    found = json.loads(limner("models", "where", NAME, "--json", cwd=tmp_path, env=here).stdout)
    assert found["here"] and found["folder"] == str(folder)
    offline = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    again = limner("models", "pull", NAME, cwd=tmp_path, env=offline)
    assert again.returncode == 0 and again.stdout.strip() == str(folder)
    code = f"from limner.tools.model_files import snapshot; print(snapshot({NAME!r})[0])"
    loads = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **offline}, capture_output=True, text=True
    )
    assert loads.stdout.strip() == str(folder), loads.stderr  # though two files were left out
    (folder / "model.safetensors").unlink()
    gone = limner("models", "pull", NAME, cwd=tmp_path, env=offline)
    assert gone.returncode == 3 and one_line(gone, "HF_HUB_OFFLINE is set")
    assert "missing: model.safetensors; looked for in " in gone.stderr


def test_the_models_that_are_known(tmp_path: Path) -> None:
    here = {"HF_HUB_CACHE": str(tmp_path / "cache")}
    listed = json.loads(limner("models", "ls", "--json", cwd=tmp_path, env=here).stdout)
    by_name = {entry["name"]: entry for entry in listed}
    for name, option in (
        ("Qwen/Qwen2-VL-72B-Instruct", "--chat-model"),
        ("Qwen/Qwen3-Embedding-8B", "--embedding-model"),
        ("Qwen/Qwen3-Reranker-0.6B", "--reranker"),
    ):
        assert by_name[name]["option"] == option and not by_name[name]["here"]
    vision = by_name["Qwen/Qwen2-VL-2B-Instruct"]["missing"]
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= set(vision)
    table = limner("models", "ls", cwd=tmp_path, env=here)
    assert "Qwen/Qwen2.5-VL-7B-Instruct\t--chat-model\t" in table.stdout
    assert f"looked for in {tmp_path / 'cache'}" in table.stderr.replace("\n", "")
    assert limner("models", "where", cwd=tmp_path, env=here).stdout.strip() == here["HF_HUB_CACHE"]
    wrong = limner("models", "where", "a b", cwd=tmp_path, env=here)
    assert wrong.returncode == 1 and one_line(wrong, "neither a folder nor a name")


def test_the_recipes_are_shell() -> None:
    import limner.examples

    folder = Path(limner.examples.__file__).parent / "servers"
    recipes = sorted(folder.glob("*.sh"))
    assert len(recipes) == 7
    told = (folder / "README.md").read_text("utf-8")
    for recipe in recipes:
        assert f"`{recipe.name}`" in told
        subprocess.run(["sh", "-n", str(recipe)], check=True)


def test_files_of_an_index_that_are_missing(tmp_path: Path) -> None:
    from limner.agent.known_models import place_of

    parts = {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "model-1.safetensors").write_bytes(b"x" * 10)
    place = place_of(str(tmp_path))
    assert place.missing == ("model-2.safetensors",) and place.size > 10 and not place.here
