"""What others build on: the public names, and which room of the package may know which."""

import ast
import inspect
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import osdcodec
from osdcodec.cli.shared import ARGUMENTS

PACKAGE = Path(osdcodec.__file__).parent
# Imports run to lower layers only, or stay within a room.
LAYERS = (
    {"cache", "devices", "errors", "relay", "telemetry", "version"},
    {"console", "effort", "extras", "rate_control"},
    {"leftovers", "urls"},
    {"profile"},
    {"files", "formats"},
    {"container"},
    {"links"},
    {"entropy", "image", "metrics", "models"},
    {"weights"},
    {"file_info", "options", "runtime"},
    {"trust"},
    {"cod_lite", "latent"},
    {"families", "fitting"},
    {"decoding", "encoding"},
    {"codec", "web"},
    {"shortcuts"},
    {"batch"},
    {"integrations"},
    {"evaluation", "training"},  # neither knows the other
    {"checks"},
    {"maintenance"},
    {"cli"},
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
KNOWN = {
    "container": {"errors"},
    "entropy": {"errors", "profile", "rate_control"},
    "links": {"errors", "extras"},
    "metrics": {"errors"},
    "models": {"errors", "extras", "profile", "rate_control", "relay"},
    "formats": {"errors", "extras"},
}  # less than their layer gives
LIBRARIES = {  # which rooms or modules may import them at all, in functions too
    "compressai": ("evaluation", "maintenance.benchmarks.peers"),
    "torch": (
        "models",
        "cod_lite.networks",
        "cod_lite.graphs",
        "cod_lite.checkpoint",
        "cod_lite.runtime",
        "metrics",
        "runtime.torch",
        "runtime.choice",
        "runtime.torch_search",
        "weights.to_torch",
        "training",
        "evaluation",
        "maintenance",
    ),
    "diffusers": ("models", "training", "maintenance"),
    "open_clip": ("models", "training"),
    "fsspec": ("urls",),
    "yaml": ("cod_lite.checkpoint",),
    "pillow_heif": ("formats",),
    "onnxruntime": ("runtime.onnx", "training.export.search", "trust.network"),
    "openvino": ("runtime.openvino",),
    "constriction": ("entropy",),
    "ray": ("batch.ray",),
    "raptorq": ("links",),
}
IN_TORCH = "runtime.torch", "runtime.torch_search", "weights.to_torch"  # which are opened where torch is there
AT_ONCE = {  # and when the module is imported, beside the standard library
    "__init__": set(),
    "__main__": set(),
    "cache": set(),
    "cli": {"typer"},
    "batch": set(),
    "batch.tasks": {"PIL"},
    "cod_lite": set(),
    "cod_lite.bands": {"numpy"},
    "cod_lite.checkpoint": {"numpy", "torch"},  # with graphs and networks, what only a conversion and a GPU import
    "cod_lite.coder": {"numpy", "PIL"},
    "cod_lite.graphs": {"onnx", "torch"},
    "cod_lite.networks": {"torch"},
    "cod_lite.runtime": {"numpy"},
    "codec": {"numpy", "PIL"},
    "container": set(),
    "console": set(),
    "decoding": {"PIL"},
    "devices": set(),
    "entropy": {"numpy", "constriction"},
    "effort": set(),
    "encoding": {"PIL"},
    "errors": set(),
    "families": {"PIL"},
    "file_info": set(),
    "fitting": {"PIL"},
    "files": set(),
    "formats": {"numpy", "PIL"},
    "image": {"numpy", "PIL"},
    "extras": set(),
    "links": set(),
    "options": set(),
    "latent": {"numpy", "PIL"},
    "leftovers": set(),
    "metrics": {"numpy", "PIL"},
    "metrics.perceptual": {"numpy", "torch"},
    "metrics.texture": {"torch"},
    "metrics.vgg_like": {"torch", "safetensors"},
    "trust": {"numpy", "PIL"},
    "trust.network": {"numpy", "onnxruntime", "PIL"},
    "profile": set(),
    "shortcuts": {"PIL"},
    "rate_control": set(),
    "telemetry": set(),
    "version": set(),
    "relay": set(),
    "runtime": {"numpy"},
    "runtime.preview": {"numpy", "PIL"},
    "runtime.tiles": {"numpy", "PIL"},
    "runtime.onnx": {"numpy", "onnxruntime"},
    "runtime.onnx_inputs": set(),
    "runtime.choice": set(),
    "runtime.processor": set(),
    "urls": set(),
    "weights": set(),
    "weights.downloads": set(),
    "weights.writer": {"tomlkit"},  # which only training, releases and conversions import
    "weights.loading": {"numpy", "safetensors"},
    "weights.registry": set(),
    "weights.search": {"numpy", "safetensors"},
    "weights.storage": {"numpy", "safetensors"},
    "web": set(),
}


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below osdcodec; a package counts as its __init__."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imports(name: str, tree: ast.Module) -> tuple[set[str], set[str], set[str]]:
    """Modules of the package below osdcodec, all libraries, and the libraries that are imported with the module."""
    later = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    is_package = (PACKAGE / name.replace(".", "/")).is_dir()
    own, libraries, at_once = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = [] if name == "__init__" else name.split(".")
            above = home[: len(home) + is_package - node.level]
            full = [*above, *(node.module.split(".") if node.module else [])]
            # `from . import a` names modules, or what an __init__ holds
            own |= {".".join(full)} if full and node.module else {".".join([*full, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            own |= {full.partition(".")[2] or "__init__" for full in names if full.split(".")[0] == "osdcodec"}
            others = {full.split(".")[0] for full in names} - {"osdcodec"} - sys.stdlib_module_names
            libraries |= others
            at_once |= set() if id(node) in later else others
    return own, libraries, at_once


MODULES = modules()


def test_these_are_the_modules_there_are():
    """Else the rules below would guard nothing."""
    assert RANK.keys() == {name.split(".")[0] for name in MODULES} - {"__init__", "__main__"}
    assert {"entropy.prior", "models.codec", "runtime.torch", "training.trainer"} <= MODULES.keys()
    own, libraries, at_once = imports("runtime", MODULES["runtime"])
    assert own == {
        "errors",
        "extras",
        "weights",
        "runtime.choice",
        "runtime.graphs",
        "runtime.onnx",
        "runtime.openvino",
        "runtime.torch",
        "weights.int8",
    }
    assert libraries == {"numpy"} and at_once == {"numpy"}
    assert imports("entropy.prior", MODULES["entropy.prior"])[0] >= {"errors", "profile", "entropy.rans"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_one_way(name):
    room = name.split(".")[0]
    own, libraries, at_once = imports(name, MODULES[name])
    for other in own:
        target = other.split(".")[0]
        if room in RANK and target != room:
            assert RANK[target] < RANK[room], f"{name} imports {other}, which stands above it"
            assert target in KNOWN.get(room, {target}), f"{name} must not know {other}"
        if target == "models":
            above = ("models", "training", "maintenance")
            assert room in above or name in IN_TORCH, f"{name} imports {other}"
        if target == "training":
            assert room in ("training", "maintenance"), f"{name} imports {other}"
    for library in libraries & LIBRARIES.keys():
        assert {name, room if room != "runtime" else name} & set(LIBRARIES[library]), f"{name} imports {library}"
    allowed = AT_ONCE.get(name, AT_ONCE.get(room))
    if allowed is not None and name not in IN_TORCH:
        assert at_once <= allowed, f"{name} imports {at_once - allowed} when it is imported"


def test_files_can_be_read_in_one_sitting():
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert [str(path) for path, lines in lengths.items() if lines > 400] == []


def test_commands_of_python_m_end_in_one_line():
    last = {name: ast.unparse(tree.body[-1]) for name, tree in MODULES.items() if tree.body and name != "__main__"}
    guards = {name: text for name, text in last.items() if text.startswith("if __name__ ==")}
    assert len(guards) > 20
    assert [name for name, text in guards.items() if "run_command(" not in text] == []


SPEAK_OF_OPTIONS = {  # commands of their own, and texts that stand in a batch's notes
    "cli", "training", "evaluation", "maintenance", "checks", "links", "runtime", "trust", "web",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.split(".")[0] not in SPEAK_OF_OPTIONS))
def test_errors_of_the_api_name_arguments_not_options(name):
    """The command turns `argument` into --option by one table, cli/shared.py."""
    raised = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.Raise)]
    texts = [
        inner.value
        for node in raised
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    ]
    assert [text for text in texts if re.search(r"(?<!\w)--[a-z]", text) and "python -m" not in text] == []


def test_all_arguments_that_errors_name_are_in_the_table_of_the_command():
    named = {
        found
        for name, tree in MODULES.items()
        if name.split(".")[0] not in SPEAK_OF_OPTIONS
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        for found in re.findall(r"`([a-z_]+)`", ast.unparse(node))
    }
    assert {"max_pixels", "weights_dir", "roi"} <= named <= ARGUMENTS.keys()


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: imports(name, tree)[0] & MODULES.keys() - {name} for name, tree in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError shows the circle


def test_public_names():
    functions = {"encode", "decode", "info", "Encoder", "Decoder", "Target"}
    raised = {
        "OsdError",
        "InputError",
        "FormatError",
        "TargetError",
        "WeightsError",
        "PackageError",
        "FileError",
        "OutputError",
    }
    assert set(osdcodec.__all__) == functions | raised | {"OsdWarning"}
    assert all(getattr(osdcodec, name) for name in [*osdcodec.__all__, "__version__"])
    assert {*osdcodec.__all__, "__version__"} == set(dir(osdcodec))
    with pytest.raises(AttributeError, match="no attribute 'compress'"):
        osdcodec.compress  # noqa: B018


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (osdcodec.encode, "picture lmbda alpha icc keep_metadata"),
        (osdcodec.decode, "data seed detail preview"),
        (osdcodec.info, "data parts weights_dir max_pixels"),
        (osdcodec.Encoder, "profile device weights_dir"),
        (osdcodec.Encoder.encode, "self picture lmbda alpha icc keep_metadata verify max_pixels"),
        (osdcodec.Decoder, "device weights_dir"),
        (osdcodec.Decoder.decode, "self data seed detail max_pixels"),
    ],
)
def test_arguments_keep_their_names(function, names):
    """More may come, but what callers write today goes on working."""
    parameters = inspect.signature(function).parameters
    assert [name for name in parameters if name in names.split()] == names.split()
    assert all(p.default is not p.empty for name, p in parameters.items() if name not in ("self", "picture", "data"))


def public_functions() -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Where the public names are defined, and the public methods of their classes, by name."""
    found = {}
    for name, module in {name: getattr(osdcodec, name).__module__ for name in osdcodec.__all__}.items():
        own = "codec" if name == "encode" else module.removeprefix("osdcodec.")  # a wrapped method of the encoder
        for node in MODULES[own].body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                found[name] = node  # the last of several overloads
                inner = node.body if isinstance(node, ast.ClassDef) else []
                methods = [each for each in inner if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
                found |= {f"{name}.{method.name}": method for method in methods}
    return found


PUBLIC = public_functions()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_say_what_they_take(name):
    """A full first line, and every argument under Args where there are several."""
    node = PUBLIC[name]
    text = ast.get_docstring(node) or ""
    assert text.split("\n")[0].endswith("."), f"{name} has no full first line"
    function = node
    if isinstance(node, ast.ClassDef):
        makers = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        function = makers[0] if makers else None
    arguments = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)] if function else []
    arguments = [argument for argument in arguments if argument != "self"]
    section = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    described = re.findall(r"^ {4}(\w+): ", section, re.MULTILINE)
    if len(arguments) > 1 and "options.EncodeOptions" not in text:  # which describes most of encode's
        assert described == arguments, f"{name} describes {described}"


def test_every_public_name_is_looked_at():
    assert osdcodec.encode.__doc__ == osdcodec.Encoder.encode.__doc__
    assert set(osdcodec.__all__) - PUBLIC.keys() == {"encode"}
    assert {"Encoder.encode", "Encoder.sizes", "Decoder.decode", "info", "decode", "Target.limit"} <= PUBLIC.keys()
