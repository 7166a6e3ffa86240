"""The limits that keep the notebooks lessons and the modules readable, and outputs that say what they should. tests/house_numbers.py measures."""

import ast
import re
import sys
from configparser import ConfigParser

import pytest
from house_numbers import (
    PACKAGE,
    ROOT,
    Notebook,
    arguments,
    flags,
    functions,
    length,
    modules,
    notebooks,
    private_imports,
    source,
    without_magics,
)

ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
BAR = re.compile(r"\d+%\|[^|]*\|\s*\d+/\d+")
UNDRAWN = re.compile(r"<Figure size [\dx.]+ with \d+ Axes>")


def texts(output: dict) -> list[str]:
    parts = [output.get("text", ""), *output.get("data", {}).values()]
    return ["".join(p) if isinstance(p, list) else str(p) for p in parts]


def bad_outputs(notebook: Notebook) -> list[str]:
    "What a reader should not see, as sentences."
    wrong = []
    for cell in notebook.code:
        where = f"{notebook.name} cell {cell['id']}"
        for output in cell["outputs"]:
            found = output.get("data", {})
            wrong += [f"{where}: a memory address" for t in texts(output) if ADDRESS.search(t)]
            wrong += [f"{where}: a dead progress bar" for t in texts(output) if BAR.search(t)]
            wrong += [f"{where}: a widget, which is dead in a stored notebook" for kind in found if "widget" in kind]
            if "image/png" not in found and any(UNDRAWN.search(t) for t in texts(output)):
                wrong.append(f"{where}: a figure that is not drawn (%matplotlib inline, or show it)")
        if shows_a_value(cell) and not cell["outputs"] and not notebook.name.startswith("master/"):  # those are run by the command
            wrong.append(f"{where}: its last line is a value, and no output is stored: run the notebook")
    return wrong


def shows_a_value(cell: dict) -> bool:
    "Whether the last line of an executed lesson cell is surely a value: not a call, which may return nothing."
    if flags(cell) & {"export", "hide", "default_exp", "eval"} or source(cell).rstrip().endswith(";"):
        return False
    body = ast.parse(without_magics(source(cell))).body
    return bool(body) and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, (ast.Call, ast.Constant, ast.Await))


@pytest.mark.parametrize("notebook", notebooks(), ids=lambda n: n.name)
def test_outputs_can_be_read(notebook):
    assert not bad_outputs(notebook)


@pytest.mark.parametrize(
    "text, outputs, what",
    [
        ("table.T", [], "no output is stored"),
        ("draw()", [{"data": {"text/plain": ["<Figure size 580x346 with 2 Axes>"]}}], "not drawn"),
        ("f", [{"data": {"text/plain": ["<function f at 0x7f4a74a074c0>"]}}], "memory address"),
        ("run()", [{"text": ["stage 2:   0%|          | 0/100 [00:00<?, ?it/s]"]}], "progress bar"),
    ],
)
def test_the_reading_of_outputs_finds_what_it_looks_for(text, outputs, what):
    notebook = Notebook(ROOT / "nbs" / "x.ipynb")
    notebook.cells = [dict(cell_type="code", id="c", source=text, outputs=outputs)]
    assert [sentence for sentence in bad_outputs(notebook) if what in sentence]


@pytest.mark.parametrize("notebook", [n for n in notebooks() if n.exported], ids=lambda n: n.name)
def test_a_notebook_is_a_lesson(notebook):
    assert not notebook.too_long, "an exported cell is one idea, of at most 45 lines"
    assert notebook.before_an_example <= 60, "more than 60 exported lines go by before an executed example"


ONE_ON_PURPOSE = {
    "lasso.py"
}  # objective to estimator on one page: split, its reader and the names of its cached kernels would lose more than they gain


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_can_be_read(module):
    tree = modules()[module]
    long = [f"{f.name}: {length(f)} lines" for f in functions(tree) if length(f) > 45]
    wide = [f"{f.name}: {arguments(f)} arguments" for f in functions(tree) if arguments(f) > 8]
    assert not long + wide
    assert module in ONE_ON_PURPOSE or len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= 700


def test_no_private_name_crosses_modules():
    assert not private_imports()


# --- requirements

NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "IPython": "ipython"}  # import name -> its package's, where they differ
NOT_IMPORTED = {"jupyter", "pyarrow"}  # what a user opens the notebooks with; what pandas reads and writes Parquet with


def required(which: str) -> set[str]:
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return {re.match(r"[\w-]+", r).group() for r in parser["DEFAULT"][which].split()}


def imported() -> set[str]:
    "Packages that the modules import, at their head or within a function, by the name that pip knows."
    found = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module)
    tops = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"tfbpmodeling"}
    return {NAMES.get(top, top) for top in tops}


def test_each_requirement_is_imported_and_each_import_required():
    extras = required("motifs_requirements") | required("sequence_requirements") | required("cluster_requirements") | required("excel_requirements")
    assert required("requirements") - NOT_IMPORTED <= imported(), "required, and nowhere imported"
    assert imported() <= required("requirements") | extras, "imported, and not required"


def test_versions_of_python_are_one_fact():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    least = parser["DEFAULT"]["min_python"]
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", "docs/quick_start.md"):
        versions = set(re.findall(r"Python (3\.\d+)", (ROOT / name).read_text(encoding="utf-8")))
        assert versions == {least}, f"{name} names {versions}, settings.ini {least}"
