"""What `tfbpmodeling check` says of a good pair of tables and of bad ones, written into docs/input_formats.md."""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tfbpmodeling.cli import main as command
from tfbpmodeling.known_truth.simulation import SimulationConfig, simulate_interactions

PAGE = Path(__file__).resolve().parents[1] / "input_formats.md"
MARKS = "<!-- made by docs/_make/input_examples.py -->", "<!-- end -->"


def semicolons(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, sep=";")


def changed(row: int, column: str, value: str) -> Callable[[pd.DataFrame], str]:
    "The table with one cell changed."

    def change(table: pd.DataFrame) -> str:
        table = table.copy()
        table.loc[row, column] = value
        return table.to_csv(index=False)

    return change


def column_of(column: str, values: Callable[[pd.Series], object]) -> Callable[[pd.DataFrame], str]:
    return lambda table: table.assign(**{column: values(table[column])}).to_csv(index=False)


BAD = {  # what is wrong: (table, how it is made)
    "Text in a column of numbers": ("response", changed(4, "XAB1", "n.d.")),
    "A missing value": ("response", changed(4, "XAB1", "")),
    "A gene twice": ("response", changed(7, "gene", "YQL004C")),
    "Two kinds of gene ids": ("response", column_of("gene", lambda ids: [f"ENSG{i:05d}" for i in range(len(ids))])),
    "Another separator than the ending says": ("response", semicolons),
    "No binding of the perturbed TF": ("predictors", lambda table: table.drop(columns="XAB1").to_csv(index=False)),
    "The perturbed TF binds all genes alike": ("predictors", column_of("XAB1", lambda values: "0")),
    "The same response for all genes": ("response", column_of("XAB1", lambda values: "0")),
    "A value beside which nothing is left": ("response", changed(4, "XAB1", "1e20")),
    "The perturbed TF alone": ("predictors", lambda table: table[["gene", "XAB1"]].to_csv(index=False)),
    "A page in place of the file": ("predictors", lambda table: "<!DOCTYPE html>\n<title>404 Not Found</title>\n"),
    "A comma as decimal mark": ("predictors", column_of("XEB1", lambda values: values.str.replace(".", ","))),
}


WARNED = {  # what is unlikely: (table, how it is made)
    "A second column of ids": ("predictors", lambda table: table.assign(entrez=[850000 + 7 * i for i in range(len(table))]).to_csv(index=False)),
    "A broken cell": ("response", changed(4, "XAB1", "-9999")),
    "Genes in another case": ("response", column_of("gene", lambda ids: [*ids[:1000], *ids[1000:].str.lower()])),
    "A name that a spreadsheet made a date of": ("response", changed(4, "gene", "1-Mar")),
    "A blacklist with a second column": ("blacklist", lambda table: "gene,reason\nYQL004C,repeat\nYQL005W,repeat\n"),
    "p-values in place of scores": (
        "predictors",
        column_of("XAB1", lambda values: [f"{p:.6g}" for p in 10 ** -(values.astype(float) / values.astype(float).median())]),
    ),
    "True and False as a response": ("response", column_of("XAB1", lambda values: values.astype(float) > 0)),
}


def said(folder: Path) -> tuple[int, str]:
    "What `check` says of the tables in a folder, and its exit status."
    out, error = io.StringIO(), io.StringIO()
    files = ["--response_file", "response.csv", "--predictors_file", "predictors.csv"]
    files += ["--blacklist_file", "blacklist.csv"] if (folder / "blacklist.csv").exists() else []
    here = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = command(["check", *files, "--perturbed_tf", "XAB1"])
    finally:
        os.chdir(here)
    return status, (out.getvalue() if status == 0 else error.getvalue()).strip()


def sections() -> list[str]:
    "The three made parts of the page."
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        simulate_interactions(SimulationConfig(n_genes=1500, n_tfs=30)).save(folder)
        tables = {name: pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False) for name in ("response", "predictors")}
        good = f"```text\n$ tfbpmodeling check --response_file response.csv --predictors_file predictors.csv --perturbed_tf XAB1\n{said(folder)[1]}\n```"
        bad, warned = (examples(folder, tables, cases, status) for cases, status in ((BAD, 2), (WARNED, 0)))
    return [good, bad, warned]


def examples(folder: Path, tables: dict[str, pd.DataFrame], cases: dict, expected: int) -> str:
    "What `check` says of each changed table: its error, or its first warning."
    lines = []
    for what, (name, make) in cases.items():
        (folder / f"{name}.csv").write_text(make(tables.get(name)), encoding="utf-8")
        status, message = said(folder)
        assert status == expected, f"{what}: exit status {status}"
        shown = message if status else re.sub(" +", " ", next(line for line in message.splitlines() if line.startswith("warning")))
        lines.append(f"**{what}**\n\n```text\n{shown}\n```")
        tables[name].to_csv(folder / f"{name}.csv", index=False) if name in tables else (folder / f"{name}.csv").unlink()
    return "\n\n".join(lines)


def page() -> str:
    "The page with its made parts written anew."
    made, text = iter(sections()), PAGE.read_text(encoding="utf-8")
    return re.sub(f"{MARKS[0]}.*?{MARKS[1]}", lambda found: f"{MARKS[0]}\n\n{next(made)}\n\n{MARKS[1]}", text, flags=re.DOTALL)
