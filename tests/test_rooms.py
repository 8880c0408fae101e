"""The rooms: what each offers, how many modules it holds, and that every door opens by itself."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: The most modules that a reader is asked to survey at once: about fifteen.
MOST = 15
PACKAGES = ("cmdmetric", "grgan_ref")
#: What starting a command must not wait for.
SLOW = ("torch", "open_clip", "scipy", "matplotlib", "huggingface_hub")


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Every package that offers names lazily, and the syntax tree of its `__init__`.
LAZY = {
    name_of(path): ast.parse(path.read_text(encoding="utf-8"))
    for package in PACKAGES
    for path in files(package)
    if path.name == "__init__.py" and "lazy_exports(" in path.read_text(encoding="utf-8")
}


def told_to_type_checkers(tree: ast.Module) -> dict[str, str]:
    """By name, the module that it is imported from under `if TYPE_CHECKING`."""
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.module, ast.unparse(node)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not re-exported: name it twice"
            found[alias.name] = node.module
    return found


def looked_up(package: str, tree: ast.Module) -> dict[str, str]:
    """By name, the module that the table of `lazy_exports` has for it."""
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_exports"
    )
    table = ast.literal_eval(call.args[1])
    return {name: f"{package}.{module}" for module in table for name in table[module].split()}


def test_rooms_are_found() -> None:
    assert {"cmdmetric", "cmdmetric.inputs", "cmdmetric.scoring"} <= LAZY.keys()


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_are_told_what_is_offered(package: str) -> None:
    told, offered = told_to_type_checkers(LAZY[package]), looked_up(package, LAZY[package])
    assert told.keys() == offered.keys()
    for name, home in offered.items():
        # The whole package's names are imported from the rooms that offer them.
        assert home == told[name] or home.startswith(f"{told[name]}."), name
        assert (package not in PACKAGES[1:] and package != "cmdmetric") or "." in home


@pytest.mark.parametrize("package", LAZY)
def test_what_is_offered_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name, home in looked_up(package, LAZY[package]).items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
        assert name in dir(module) and name in module.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_this_name'"):
        _ = module.nothing_of_this_name


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_crowded(package: str) -> None:
    rooms = {path.parent for path in files(package)}
    crowded = {
        name_of(room / "__init__.py"): count
        for room in rooms
        if (count := sum(path.name != "__init__.py" for path in room.glob("*.py"))) > MOST
    }
    assert not crowded, f"more than {MOST} modules"


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_reaches_past_a_room(package: str) -> None:
    """What another room has is imported from the room, not from a module in it."""
    rooms = {name for name in LAZY if name.startswith(f"{package}.")}
    reached = []
    for path in files(package):
        own = name_of(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            reached += [
                f"{path.relative_to(ROOT)}:{node.lineno} reaches for {module}"
                for module in modules
                for room in rooms
                if module.startswith(f"{room}.") and not f"{own}.".startswith(f"{room}.")
            ]
    assert not reached


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_from_a_room_is_offered(package: str) -> None:
    """mypy takes any name from a package with a `__getattr__`, one for types alone included."""
    absent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {alias.name}"
        for path in files(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in LAZY
        for alias in node.names
        if alias.name not in looked_up(node.module, LAZY[node.module])
        and not ROOT.joinpath(*node.module.split("."), f"{alias.name}.py").exists()
        and (node.module, alias.name) != ("cmdmetric", "__version__")
        and not ROOT.joinpath(*node.module.split("."), alias.name).is_dir()
    ]
    assert not absent


def modules_of(package: str) -> dict[str, set[str]]:
    """By name, the modules of the package that each module imports: when it is loaded, later, or
    for type checkers alone. A name that a room offers is imported from the module that has it."""
    homes = {room: looked_up(room, tree) for room, tree in LAZY.items()}
    names = {name_of(path) for path in files(package)}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for path in files(package):
        own = name_of(path)
        if own in LAZY:
            continue  # which names the modules whose names it looks up
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                graph[own] |= {alias.name for alias in node.names} & names
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    home = homes.get(node.module, {}).get(alias.name)
                    found = inner if inner in names else home or node.module
                    graph[own] |= {found} & names
    return graph


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other(package: str) -> None:
    """Without circles every module can also be the first that is imported."""
    graph = modules_of(package)
    assert sum(map(len, graph.values())) > 100
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_every_module_can_be_imported() -> None:
    names = [name_of(path) for package in PACKAGES for path in files(package)]
    names = [name for name in names if not name.endswith("__main__")]
    if not importlib.util.find_spec("torchmetrics"):
        names.remove("cmdmetric.integrations.torchmetrics")
    assert len(names) > 100
    for name in names:
        assert importlib.import_module(name).__name__ == name


HELP_OF_EVERY_COMMAND = """
import sys
import click
from click.testing import CliRunner
import cmdmetric
from cmdmetric.cli.main import main, score
from grgan_ref.cli.main import main as grgan
dir(cmdmetric)
def ask(command, *words):
    done = CliRunner().invoke(command, [*words, "--help"])
    assert done.exit_code == 0 and "Usage:" in done.output, (words, done.output)
    found = command
    for word in words:
        found = found.commands[word]
    if isinstance(found, click.Group):
        for name in found.commands:
            ask(command, *words, name)
for command in (main, score, grgan):
    ask(command)
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_help_waits_for_no_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_EVERY_COMMAND, *SLOW],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
