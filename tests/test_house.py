"""The rules of the house: notebooks and package in step, imports in the order of the data, light imports, nothing of a machine."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tfbpmodeling"
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
WINGS = ("known_truth", "activity", "evidence", "sequence")
COMMAND = ("cli", "__init__", "__main__")  # the only ones that know all
HEAVY = ("numpy", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "numba", "joblib", "pyarrow", "papermill", "nbconvert", "IPython")
FULL_TEXT = {"encoding": "utf-8"}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python(code: str, *args: str, cwd: Path = ROOT) -> str:
    "What a fresh Python prints."
    env = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=cwd, env=env, capture_output=True, text=True, **FULL_TEXT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ruff(*args: str) -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", *args, "--no-cache"], cwd=ROOT, capture_output=True, text=True, **FULL_TEXT)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def copy_of_notebooks(folder: Path) -> None:
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    shutil.copy(ROOT / "settings.ini", folder)


@cache
def cells_of(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text(**FULL_TEXT))["cells"]


def source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def default_exp(notebook: Path) -> str | None:
    "The module that a notebook exports to: known_truth.simulation."
    found = [re.match(r"#\|\s*default_exp\s+(\S+)", source(c)) for c in cells_of(notebook) if c["cell_type"] == "code"]
    return next((m.group(1) for m in found if m), None)


@cache
def numbers() -> dict[str, int]:
    "Module -> number of its notebook."
    return {default_exp(nb): int(re.match(r"\d+", nb.name).group()) for nb in NOTEBOOKS if default_exp(nb) and re.match(r"\d+", nb.name)}


# --- notebooks and package


def test_package_in_step_with_notebooks(tmp_path):
    copy_of_notebooks(tmp_path)
    python("from nbdev.doclinks import nbdev_export; nbdev_export()", cwd=tmp_path)
    exported, here = ({p.relative_to(d).as_posix(): p for p in d.rglob("*.py")} for d in (tmp_path / "tfbpmodeling", PACKAGE))
    by_hand = {"__init__.py", "__main__.py"} - {f"{m}.py" for m in map(default_exp, NOTEBOOKS)}
    assert set(exported) - by_hand == set(here) - by_hand, "a module without its notebook, or a notebook never exported: make export"
    differ = [name for name in set(exported) - by_hand if exported[name].read_text(**FULL_TEXT) != here[name].read_text(**FULL_TEXT)]
    assert not differ, f"{sorted(differ)} differ from their notebooks: edit the notebook, then make export"


def test_notebooks_are_clean(tmp_path):
    copy_of_notebooks(tmp_path)
    python("from nbdev.clean import nbdev_clean; nbdev_clean()", cwd=tmp_path)
    changed = [short(nb) for nb in NOTEBOOKS if nb.read_bytes() != (tmp_path / nb.relative_to(ROOT)).read_bytes()]
    assert not changed, f"{changed} are not clean: make export"


def test_readme_in_step_with_its_notebook():
    made = python("import sys; sys.path.insert(0, 'docs/_make'); from readme import page; sys.stdout.write(page())")
    assert (ROOT / "README.md").read_text(**FULL_TEXT) == made, "edit nbs/index.ipynb, then make export"


def test_notebooks_are_formatted_and_clean_of_lint():
    ruff("format", "--check", "nbs")
    ruff("check", *(name for name in ("nbs", "tfbpmodeling", "tests", "benchmarks", "docs", "setup.py") if (ROOT / name).exists()))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=short)
def test_form_of_a_notebook(notebook):
    cells = cells_of(notebook)
    ids = [c.get("id") for c in cells]
    assert all(ids) and len(set(ids)) == len(ids), "every cell needs an id of its own: exported modules name it"
    assert cells[0]["cell_type"] == "markdown" and source(cells[0]).startswith("# "), "the first cell is the title: '# name'"
    if notebook.name == "index.ipynb" or notebook.relative_to(ROOT / "nbs").parts[0] in ("tutorials", "master"):
        return
    question = [line for line in source(cells[0]).splitlines() if line.startswith("> ")]
    assert len(question) == 1, "the first cell ends in one line '> question': it becomes the module's docstring"
    module = default_exp(notebook)
    assert module, "no '#| default_exp'"
    folder = notebook.parent.relative_to(ROOT / "nbs").parts
    assert tuple(module.split(".")[:-1]) == folder, f"{module} must be in the package as its notebook is in nbs/"
    assert re.match(r"\d\d_", notebook.name), "notebooks are numbered in the order of the data"


def test_numbers_of_notebooks_are_unique():
    found = [nb.name[:2] for nb in NOTEBOOKS if default_exp(nb)]
    assert len(set(found)) == len(found)


# --- imports


def imported(module: str, tree: ast.AST) -> set[str]:
    "Modules of ours that a module imports, at its head or within a function: workflow, known_truth.simulation."
    home = ["tfbpmodeling", *module.split(".")][:-1]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((home[: len(home) - node.level + 1] if node.level else []) + ([node.module] if node.module else []))
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__"):
            names |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return names


def modules() -> dict[str, ast.AST]:
    files = [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "_modidx.py"]
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): ast.parse(p.read_text(**FULL_TEXT)) for p in files}


def wrong_imports(module: str, tree: ast.AST) -> list[str]:
    "Imports of ours that break the order, as sentences."
    rank, wrong = numbers(), []
    if module in COMMAND:
        return wrong
    for name in imported(module, tree):
        if name == "tfbpmodeling" and module.split(".")[-1] != "__init__":
            wrong.append(f"{module} imports the package itself: name the module")
        target = name.removeprefix("tfbpmodeling.")
        if target == name or target not in rank:
            continue
        if rank[target] >= rank[module]:
            wrong.append(f"{module} ({rank[module]:02}) imports {target} ({rank[target]:02})")
        elif target.startswith(WINGS) and not module.startswith(WINGS):
            wrong.append(f"{module}, of the road, imports {target}, of a wing")
    return wrong


def test_imports_follow_the_order_of_the_notebooks():
    trees = modules()
    unknown = [m for m in trees if m.split(".")[-1] not in ("__init__", "__main__") and m not in numbers()]
    assert not unknown, f"modules without a numbered notebook: {unknown}"
    assert not [sentence for module, tree in trees.items() for sentence in wrong_imports(module, tree)]


@pytest.mark.parametrize(
    "module, line",
    [
        ("config", "from tfbpmodeling.lasso import lasso_cv"),
        ("config", "from . import lasso"),
        ("config", "def f():\n    from .modeling_data import ModelingData"),
        ("known_truth.simulation", "from ..cli import main"),
        ("workflow", "from tfbpmodeling.known_truth.simulation import SimulationConfig"),
        ("workflow", "import tfbpmodeling"),
        ("workflow", "import importlib; importlib.import_module('tfbpmodeling.cli')"),
    ],
)
def test_the_walk_sees_a_wrong_import(module, line):
    allowed = module == "known_truth.simulation"  # a wing may import the road, the command among it
    assert bool(wrong_imports(module, ast.parse(line))) != allowed


def test_numerical_core_knows_arrays_only():
    tops = {name.split(".")[0] for name in imported("lasso", modules()["lasso"])}
    assert not tops & {"pandas", "papermill", "nbdev", "fastcore"}


def test_no_module_needs_the_tools_of_development():
    users = {m for m, tree in modules().items() if {n.split(".")[0] for n in imported(m, tree)} & {"nbdev", "fastcore", "execnb", "pytest"}}
    assert not users


LOADED = f"import sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"


def test_import_of_the_package_is_light():
    assert python(f"import tfbpmodeling; dir(tfbpmodeling); tfbpmodeling.__version__; {LOADED}").split() == []


@pytest.mark.parametrize(
    "args", [["--help"], ["linear_perturbation_binding_modeling", "--help"], ["batch", "--help"], ["--version"]], ids=" ".join
)
def test_help_is_light(args):
    code = f"""
import sys
from tfbpmodeling.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
assert not status, status
print()
{LOADED}"""
    assert python(code, *args).splitlines()[-1] == ""


def test_python_m_starts_the_command():
    done = subprocess.run([sys.executable, "-m", "tfbpmodeling", "--help"], cwd=ROOT, capture_output=True, text=True, **FULL_TEXT)
    assert done.returncode == 0 and done.stdout.startswith("usage: tfbpmodeling"), done.stderr


def test_public_names_exist():
    import tfbpmodeling

    assert {"Config", "run", "BootstrapModelResults"} <= set(tfbpmodeling.__all__) <= set(dir(tfbpmodeling))
    for name in tfbpmodeling.__all__:
        assert not (PACKAGE / f"{name}.py").exists(), f"{name} is a module's name too: whoever asks gets one or the other by chance"
        assert getattr(tfbpmodeling, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tfbpmodeling.no_such_name


@pytest.mark.parametrize("module", ["nbdev.export", "nbdev.test", "nbdev.clean", "nbdev.showdoc"])
def test_nbdev_works_here(module):
    "pip check stays clean when nbdev's own dependencies do not fit together, so import it."
    importlib.import_module(module)


# --- nothing of the machine it was made on

HOMES = "|".join(["root", "home/[a-z]+", "Users/[A-Za-z]+", "work", "tmp/[A-Za-z0-9]+", "var/folders", "opt/[a-z]+"])
ABSOLUTE = re.compile(r"(?<![\w.+=/})\]-])/(?:" + HOMES + r")(?:/|\b)(?![A-Za-z0-9]*[+=])")
REGISTRY = re.compile(
    "|".join(
        [
            "py" + r"pi\.org",
            "python" + "hosted",
            "npm" + r"js\.",
            r"deb\." + "debian",
            "anaconda" + r"\.(?:org|com)",
            "conda-" + r"forge\.org",
        ]
    )
)


@cache
def files_of_the_project() -> tuple[Path, ...]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True, **FULL_TEXT
    )
    return tuple(p for p in (ROOT / name for name in listed.stdout.split("\0") if name) if p.is_file())


@pytest.mark.parametrize("pattern", [ABSOLUTE, REGISTRY], ids=["absolute path", "registry host"])
def test_nothing_of_a_machine_in_any_file(pattern):
    found = []
    for path in files_of_the_project():
        for i, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            found += [f"{short(path)}:{i}: {line[max(0, m.start() - 30) : m.end() + 30]}" for m in pattern.finditer(line)]
    assert not found, "\n".join(found)


def test_the_patterns_find_what_they_look_for():
    slash = "/"
    for bad in ("root/x", "home/ann/x", "tmp/abc", "work/main", "Users/ann/x"):
        assert ABSOLUTE.search(f'"{slash}{bad}"'), bad
    for good in ("a/root/b", "homework/", f"..{slash}work/x", "1/tmp"):
        assert not ABSOLUTE.search(good), good
    assert REGISTRY.search("https://py" + "pi.org/simple")


# --- the package that people install


@cache
def settings() -> dict[str, str]:
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", **FULL_TEXT)
    return dict(parser["DEFAULT"])


def test_setup_provides_every_dynamic_field(monkeypatch):
    import tomllib

    import setuptools

    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: given.update(kwargs))
    exec(
        compile((ROOT / "setup.py").read_text(**FULL_TEXT), "setup.py", "exec"),
        {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"},
    )
    argument = {
        "readme": "long_description",
        "requires-python": "python_requires",
        "authors": "author",
        "dependencies": "install_requires",
        "optional-dependencies": "extras_require",
        "scripts": "entry_points",
        "urls": "project_urls",
    }
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text(**FULL_TEXT))["project"]["dynamic"]
    missing = [name for name in dynamic if given.get(argument.get(name, name)) is None]
    assert not missing, f"setup.py gives nothing for {missing}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    "A wheel built from the files of the project, without the network."
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not in this environment, and fetching it needs the network")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for path in files_of_the_project():
        (tree / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / path.relative_to(ROOT))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-w", str(out), str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, **FULL_TEXT)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_the_package_and_its_data(wheel):
    held = set(wheel.namelist())
    wanted = {short(p) for p in files_of_the_project() if p.is_relative_to(PACKAGE)}
    assert not wanted - held, "files of the package that nobody would get: name them in setup.py's package_data"
    strangers = {name for name in held if not name.startswith(("tfbpmodeling/", f"tfbpmodeling-{settings()['version']}.dist-info/"))}
    assert not strangers


def test_wheel_says_what_settings_say(wheel):
    info = f"tfbpmodeling-{settings()['version']}.dist-info"
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Version"] == settings()["version"]
    assert metadata["Requires-Python"] == ">=" + settings()["min_python"]
    assert set(metadata.get_all("Provides-Extra")) == {
        key.removesuffix("_requirements") for key in settings() if key.endswith("_requirements")
    }
    plain = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert len(plain) == len(settings()["requirements"].split())
    assert not [r for r in plain if r.startswith(("nbdev", "fastcore", "pytest", "ruff"))]
    assert "tfbpmodeling=tfbpmodeling.cli:main" in wheel.read(f"{info}/entry_points.txt").decode().replace(" ", "")
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def test_source_archive_would_build():
    "setup.py reads settings.ini, which setuptools leaves out of a source archive unless it is told."
    assert "include settings.ini" in (ROOT / "MANIFEST.in").read_text(**FULL_TEXT)


def test_no_second_quarto_project():
    assert not list((ROOT / "nbs").rglob("_quarto.yml")), "the site is made from the _quarto.yml at the root"
