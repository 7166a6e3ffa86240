"""report.ipynb runs where it lies: in a copy of its directory, without the tables that were given, it shows the same to the byte."""

import shutil
from pathlib import Path

import nbformat
import pytest
from examples import files_of, run_here
from nbclient import NotebookClient

from tfbpmodeling.artifacts import read_run
from tfbpmodeling.cli import main
from tfbpmodeling.config import BatchConfig, InputError
from tfbpmodeling.known_truth.simulation import SimulationConfig, simulate_interactions
from tfbpmodeling.notebook_runner import tagged
from tfbpmodeling.report import report_again

QUICK = dict(n_bootstraps=40, random_state=1, top_n=150, n_cpus=1)
TABLES = dict(response_file="tables/response.csv", predictors_file="tables/predictors.csv")


def tables_of(notebook) -> list[str]:
    "What every cell shows, as HTML."
    return [o.data["text/html"] for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "text/html" in o.get("data", {})]


def executed_where_it_lies(folder: Path) -> tuple[list[str], list[str]]:
    "The tables and figures as they are stored in report.ipynb, and after every cell was run again in its folder."
    notebook = nbformat.read(folder / "report.ipynb", as_version=4)
    stored = tables_of(notebook)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return stored, tables_of(notebook)


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    "A folder with generated tables, in which the command is given with short paths."
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    simulate_interactions(SimulationConfig(n_genes=300, n_tfs=12)).save("tables")
    return tmp_path / "there"


def test_a_copied_run_shows_the_same_tables(there, tmp_path, monkeypatch):
    words = [w for name, value in {**TABLES, **QUICK}.items() for w in (f"--{name}", str(value))]
    assert main(["linear_perturbation_binding_modeling", *words, "--perturbed_tf", "XAB1", "--output_dir", "out"]) == 0
    here = tmp_path / "elsewhere" / "mine"
    shutil.copytree("out/XAB1", here)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(there)
    before = files_of(here)
    notebook = nbformat.read(here / "report.ipynb", as_version=4)
    assert 'stored_run = "."' in notebook.cells[tagged(notebook, "injected-parameters")[0]].source
    stored, again = executed_where_it_lies(here)
    assert stored == again and len(stored) > 15 and "the true interactors are known" in "".join(again)
    assert files_of(here) == before
    report_again(here)
    assert (here / "report.html").read_bytes() == before["report.html"]


def test_a_run_of_a_batch_needs_the_table_that_its_runs_share(there, tmp_path):
    assert not run_here(BatchConfig(**TABLES, **QUICK, no_report=True, output_dir="D")).failed
    report_again("D/XAB1")
    alone, whole = tmp_path / "alone" / "XAB1", tmp_path / "whole" / "XAB1"
    shutil.copytree("D/XAB1", alone)
    with pytest.raises(
        InputError, match="a run of a batch, and .*processed_predictors.csv, .* is missing: copy the batch's input_data beside it"
    ):
        read_run(alone)
    shutil.copytree("D/XAB1", whole)
    shutil.copytree("D/input_data", whole.parent / "input_data")
    shutil.rmtree(there / "tables")
    stored, again = executed_where_it_lies(whole)
    assert stored == again and len(stored) > 15
