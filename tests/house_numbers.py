"""How the house measures: each notebook and each module in numbers. `python tests/house_numbers.py` prints them; test_house.py holds the limits.

Lines are lines of code: blank ones and nbdev's own (`#| export`) do not count, nor do cells of imports alone.
"""

import ast
import json
import re
import statistics
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tfbpmodeling"
OPTIONS = re.compile(r"^\s+\w+: .*= option\(", re.M)  # a dataclass of options is one thing, however long


def source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def without_magics(text: str) -> str:
    return "\n".join("" if line.startswith(("%", "!")) else line for line in text.split("\n"))


def code_lines(text: str) -> int:
    return sum(bool(line.strip()) and not line.startswith("#|") for line in text.splitlines())


def flags(cell: dict) -> set[str]:
    return set(re.findall(r"^#\|\s*(\w+)", source(cell), re.M)) if cell["cell_type"] == "code" else set()


def only_imports(text: str) -> bool:
    tree = ast.parse(without_magics(text))
    logger = "getLogger"
    return all(isinstance(n, (ast.Import, ast.ImportFrom)) or logger in ast.unparse(n) or "addHandler" in ast.unparse(n) for n in tree.body)


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def length(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def arguments(node: ast.FunctionDef) -> int:
    given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in given if name not in ("self", "cls")])


@dataclass
class Notebook:
    "One notebook in numbers."

    path: Path

    @cached_property
    def cells(self) -> list[dict]:
        return json.loads(self.path.read_text(encoding="utf-8"))["cells"]

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT / "nbs").with_suffix("").as_posix()

    @cached_property
    def code(self) -> list[dict]:
        return [c for c in self.cells if c["cell_type"] == "code"]

    @cached_property
    def exported(self) -> list[dict]:
        return [c for c in self.code if "export" in flags(c) and not only_imports(source(c))]

    @property
    def markdown(self) -> int:
        return sum(c["cell_type"] == "markdown" for c in self.cells)

    @property
    def sizes(self) -> list[int]:
        return [code_lines(source(c)) for c in self.exported]

    @property
    def too_long(self) -> list[str]:
        "Exported cells over 45 lines, a dataclass of options excepted."
        return [c["id"] for c in self.exported if code_lines(source(c)) > 45 and not OPTIONS.search(source(c))]

    @property
    def before_an_example(self) -> int:
        "The longest run of exported lines without an executed example; a dataclass of options counts as one line for each option."
        longest = run = 0
        for cell in self.code:
            found, text = flags(cell), source(cell)
            if cell in self.exported:
                run += len(OPTIONS.findall(text)) or code_lines(text)
            elif not found & {"export", "hide", "default_exp", "eval"} and text.strip() and not only_imports(text):
                run = 0
            longest = max(longest, run)
        return longest

    @property
    def figures(self) -> int:
        return sum("image/png" in out.get("data", {}) or "image/svg+xml" in out.get("data", {}) for c in self.code for out in c["outputs"])

    @property
    def asserts(self) -> int:
        return sum(source(c).count("\nassert ") + source(c).startswith("assert ") for c in self.code if "export" not in flags(c))

    @property
    def row(self) -> tuple:
        lessons = [c for c in self.code if not flags(c) & {"default_exp"} and not only_imports(source(c))]
        sizes, trees = self.sizes, [ast.parse(without_magics(source(c))) for c in self.exported]
        long = sum(length(f) > 40 for tree in trees for f in functions(tree))
        hidden = sum("hide" in flags(c) for c in self.code)
        middle = f"{statistics.median(sizes):.0f} / {max(sizes)}" if sizes else "–"
        return (self.name, self.markdown, len(self.code), len(sizes), hidden, middle, sum(s > 25 for s in sizes), long,
                f"{self.markdown / max(1, len(lessons)):.2f}", self.figures, self.asserts, self.before_an_example or "")  # fmt: skip


@cache
def notebooks() -> tuple[Notebook, ...]:
    found = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    return tuple(map(Notebook, found))


@cache
def modules() -> dict[str, ast.Module]:
    files = [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "_modidx.py"]
    return {p.relative_to(PACKAGE).as_posix(): ast.parse(p.read_text(encoding="utf-8")) for p in files}


def private_imports() -> list[str]:
    "Private names that cross from one module into another."
    return [
        f"{module} imports {alias.name} of {node.module}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("tfbpmodeling"))
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def module_row(module: str, tree: ast.Module) -> tuple:
    defined = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    private = sum(n.name.startswith("_") for n in defined)
    longest = max(functions(tree), key=length, default=None)
    widest = max(functions(tree), key=arguments, default=None)
    size = len((PACKAGE / module).read_text(encoding="utf-8").splitlines())
    named = [f"{f.name} {measure(f)}" if f else "" for f, measure in ((longest, length), (widest, arguments))]
    return module, size, f"{len(defined) - private} / {private}", *named


def table(head: list[str], rows: list[tuple]) -> str:
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def main() -> None:
    head = "notebook,md,code,exported,hidden,median / max exported,exported > 25,functions > 40,md : code,figures,asserts,exported lines before an example"
    print(table(head.split(","), [n.row for n in notebooks()]), end="\n\n")
    sizes = [s for n in notebooks() for s in n.sizes]
    print(
        f"{len(sizes)} exported cells, {sum(s > 25 for s in sizes)} over 25 lines, median {statistics.median(sizes):.0f}, max {max(sizes)}.\n"
    )
    print(
        table(["module", "lines", "public / private", "longest function", "most arguments"], [module_row(*m) for m in modules().items()]),
        end="\n\n",
    )
    print(f"private names across modules: {len(private_imports())}")


if __name__ == "__main__":
    main()
