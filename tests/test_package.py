"""The package as a whole: what it lists, what it imports, and what it never does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import limner

ROOT = Path(__file__).parents[1]
ROOMS = ("agent", "index", "tools", "prompts", "examples")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HEAVY = {
    *("torch", "transformers", "sentence_transformers", "diffusers", "faiss", "bm25s", "numpy"),
    *("langgraph", "langchain_core", "rapidocr", "onnxruntime", "PIL", "typer", "rich"),
}


def files() -> list[Path]:
    rooms = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted([*ROOT.glob("*.py"), *rooms])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in ("limner", *parts) if part != "__init__")


MODULES = {module_of(path): path for path in files()}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def nodes(module: str) -> Iterator[ast.AST]:
    """Everything in a module."""
    return ast.walk(tree_of(module))


def nodes_at_load(module: str) -> Iterator[ast.AST]:
    """What runs when a module is imported: no function's body, nothing for type checkers only."""
    waiting: list[ast.AST] = [tree_of(module)]
    while waiting:
        node = waiting.pop()
        yield node
        only_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(node.orelse if only_types else ast.iter_child_nodes(node))


def imports(module: str, at_load: bool = False) -> set[str]:
    """The modules that a module imports, ever or when it is loaded, by their full names."""
    found: set[str] = set()
    is_package = MODULES[module].name == "__init__.py"
    for node in nodes_at_load(module) if at_load else nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if is_package else -1]
            base = above[: len(above) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            found |= {n if n in MODULES else name for n in (f"{name}.{a.name}" for a in node.names)}
    return found


def ours(module: str, at_load: bool = False) -> set[str]:
    return {name for name in imports(module, at_load) if name in MODULES}


def test_the_project_lists_every_package() -> None:
    folders = {path.parent for path in files() if path.name == "__init__.py"}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(
        module_of(folder / "__init__.py") for folder in folders
    )
    for path in files():
        assert (path.parent / "__init__.py").is_file(), f"{path} is in no package"


def test_only_three_modules_at_the_root() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_imports_within_the_package_are_relative() -> None:
    for module in MODULES:
        if module.startswith("limner.examples."):
            continue  # examples are programs that use the package
        for node in nodes(module):
            if isinstance(node, ast.Import):
                assert not any(a.name.split(".")[0] == "limner" for a in node.names), module
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").split(".")[0] != "limner", module


ALLOWED = {
    "agent": ("agent", "index", "tools", "prompts"),
    "tools": ("tools", "prompts"),
    "index": (
        *("index", "prompts.prompt", "prompts"),
        *("tools.ocr", "tools.layout", "tools.media", "tools.sentences", "tools.model_files"),
        "tools.user_cache",
    ),
    "prompts": ("prompts",),
}


@pytest.mark.parametrize("room", ALLOWED)
def test_who_may_import_whom(room: str) -> None:
    allowed = [f"limner.{name}" for name in (*ALLOWED[room], "errors")]
    for module in MODULES:
        if module.startswith(f"limner.{room}"):
            for name in ours(module) - {"limner"}:
                assert any(f"{name}.".startswith(f"{a}.") for a in allowed), f"{module} → {name}"


def test_errors_import_nothing_of_ours() -> None:
    assert ours("limner.errors") == set()


def test_no_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path, module])
        if module not in done:
            for name in sorted(ours(module, at_load=True)):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", ["agent.answer", "index.passage", "errors"])
def test_values_import_no_model_library(module: str) -> None:
    waiting, seen = [f"limner.{module}"], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        foreign = {i.split(".")[0] for i in imports(name, at_load=True)} - {"limner"}
        assert foreign <= set(sys.stdlib_module_names), f"{name} imports {foreign}"
        waiting.extend(ours(name, at_load=True) - seen)


def test_importing_limner_costs_nothing() -> None:
    code = "import sys; before = set(sys.modules); import limner; print(*(set(sys.modules)-before))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in loaded}
    assert [name for name in loaded if name.startswith("limner")] == ["limner"]
    begun = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    assert time.perf_counter() - begun < 1


def test_importing_the_library_loads_no_model_library() -> None:
    code = "import sys; from limner import Library; print(*{m.split('.')[0] for m in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"numpy", "PIL"}
    assert not (HEAVY - allowed) & set(out.stdout.split())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_all_names_exist(module: str) -> None:
    lists = [
        node.value
        for node in tree_of(module).body
        if isinstance(node, ast.Assign) and ast.dump(node.targets[0]).find("'__all__'") > 0
    ]
    if not lists:
        path = MODULES[module]
        assert path.name in ("__init__.py", "__main__.py") or "examples" in path.parts, path
        return
    names = ast.literal_eval(lists[0])
    assert len(set(names)) == len(names)
    if "examples" not in module:
        assert all(hasattr(import_module(module), name) for name in names)


def test_the_public_names() -> None:
    assert set(limner.__all__) <= set(dir(limner))
    for name in limner.__all__:
        assert getattr(limner, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        limner.nothing  # noqa: B018
    assert limner.__version__ == PROJECT["project"]["version"]


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_MODULES |= {"langchain_community"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_that_could_run_foreign_code(module: str) -> None:
    assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in imports(module)}
    for node in nodes(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "load"), module
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert isinstance(node.value, ast.Constant) and node.value.value is False, module
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False, module
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec"), module


def test_the_environment_is_left_alone() -> None:
    code = """
import json, os, sys
before = dict(os.environ)
for name in json.loads(sys.argv[1]):
    __import__(name)
print(json.dumps(sorted(set(os.environ.items()) ^ set(before.items()))))
"""
    names = [m for m in MODULES if "examples" not in m and "__main__" not in m]
    command = [sys.executable, "-c", code, json.dumps(names)]
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
