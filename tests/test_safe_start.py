"""What runs: only what is installed, and only the notebook that the command names. Not a module that lies where one stands, not a notebook that a run directory names."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from examples import files_of, small_tables, write_tables

from tfbpmodeling.artifacts import write_run
from tfbpmodeling.cli import main
from tfbpmodeling.config import Config
from tfbpmodeling.modeling_data import load_modeling_data
from tfbpmodeling.notebook_runner import MASTER, master_notebook
from tfbpmodeling.workflow import run

QUICK = "--n_bootstraps 30 --random_state 1 --top_n 100 --n_cpus 1".split()
# first imported by: a kernel, its libraries, papermill, the workers of a batch, joblib's workers, Python itself
PLANTED = """tfbpmodeling json numpy pandas scipy sklearn numba joblib psutil nbformat nbconvert papermill matplotlib seaborn logging traitlets zmq IPython ipykernel
    ipykernel_launcher jupyter_client matplotlib_inline debugpy multiprocessing torch sitecustomize usercustomize planted_backend""".split()
SETTINGS = "ipython_config ipython_kernel_config jupyter_config jupyter_nbconvert_config".split()


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    "A folder with tables, a finished run and a batch-to-be."
    place = tmp_path_factory.mktemp("stored")
    write_tables(place, *small_tables(names=("P", "A", "B", "C")))
    files = dict(response_file=str(place / "response.csv"), predictors_file=str(place / "predictors.csv"))
    config = Config(**files, perturbed_tf="P", n_bootstraps=30, random_state=1, top_n=100, n_cpus=1)
    (place / "runs" / "P").mkdir(parents=True)
    write_run(place / "runs" / "P", run(config, load_modeling_data(config), progress=False))
    rng = np.random.default_rng(0)
    pd.read_csv(place / "response.csv", index_col=0).assign(B=rng.normal(size=160), C=rng.normal(size=160)).to_csv(place / "several.csv")
    return place


@pytest.fixture
def hostile(tmp_path) -> tuple[Path, Path]:
    "A folder to stand in whose files leave a mark when they are executed, and the mark."
    folder, mark = tmp_path / "here", tmp_path / "mark"
    (folder / "profile_default" / "startup").mkdir(parents=True)
    leave = f"open({str(mark)!r}, 'a').write(__file__ + '\\n')\n"
    for name in (*PLANTED, *SETTINGS, "profile_default/startup/00-start"):
        (folder / f"{name}.py").write_text(leave)
    (folder / "matplotlibrc").write_text("backend: module://planted_backend\n")
    (folder / ".numba_config.yaml").write_text("cache_dir: ./compiled\n")
    return folder, mark


COMMANDS = {
    "a run": "linear_perturbation_binding_modeling {tables} --perturbed_tf P {quick} --output_dir {out}",
    "a run without kernel": "linear_perturbation_binding_modeling {tables} --perturbed_tf P {quick} --output_dir {out} --no_report",
    "report": "report {stored}/runs/P",
    "compare": "compare {stored}/runs/P {stored}/runs/twin -o {out}",
    "batch inprocess": "batch {tables} {quick} --output_dir {out}",
    "batch kernel": "batch {tables} {quick} --output_dir {out} --engine kernel",
    "motif_activity": "motif_activity --response_file {stored}/several.csv --predictors_file {stored}/predictors.csv --output_dir {out} --method ridge",
    "calibrate": "calibrate --output_dir {out} --n_jobs 2 --truths both --residuals independent --signal_fraction 0.5 --n_genes 300 --n_tfs 9 --co_binding 0.5 --noise_df 4 "
    "--changed_truths both --corner_truths both --n_replicates 2 --n_fast 2 --n_corners 2 --noise_binding 0 --n_bootstraps 10",
    "tfbs": "tfbs --sequences {stored}/sequences.txt --labels {stored}/labels.txt --output_dir {out} --epochs 1",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_that_lies_where_one_stands_is_executed(stored, hostile, tmp_path, name):
    if name == "tfbs" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not here")
    folder, mark = hostile
    rng = np.random.default_rng(0)
    (stored / "sequences.txt").write_text("".join("".join(rng.choice(list("ACGT"), 50)) + "\n" for _ in range(60)))
    (stored / "labels.txt").write_text("0\n1\n" * 30)
    if not (stored / "runs" / "twin").exists():
        shutil.copytree(stored / "runs" / "P", stored / "runs" / "twin")
    tables = f"--response_file {stored}/response.csv --predictors_file {stored}/predictors.csv"
    words = COMMANDS[name].format(tables=tables, quick=" ".join(QUICK), out=tmp_path / "out", stored=stored).split()
    script = Path(sys.executable).parent / "tfbpmodeling"
    start = (
        [str(script)]
        if script.exists()
        else [sys.executable, "-P", "-c", "import sys; from tfbpmodeling.cli import main; sys.exit(main())"]
    )
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "MPLBACKEND")}
    before = files_of(folder)
    done = subprocess.run([*start, *words], cwd=folder, env=env, capture_output=True, text=True)
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    assert files_of(folder) == before, "nothing is written where one stands"


def evil(place: Path, mark: Path) -> Path:
    "A copy of the master notebook with one more cell."
    notebook = nbformat.reads(master_notebook(), as_version=4)
    notebook.cells.insert(3, nbformat.v4.new_code_cell(f"open({str(mark)!r}, 'w').write('ran')"))
    nbformat.write(notebook, place)
    return place


def names_a_notebook(folder: Path, notebook: str) -> None:
    "What who makes a run directory can do: name a notebook, and take the checksum out."
    facts = json.loads((folder / "run.json").read_text())
    facts["parameters"]["notebook"] = notebook
    del facts["checksum"]
    (folder / "run.json").write_text(json.dumps(facts))


def test_report_never_runs_the_notebook_that_a_run_names(stored, tmp_path, monkeypatch, capsys):
    "Neither one beside it nor one counted from where one stands; named on the command line it runs, and the page says so."
    shutil.copytree(stored / "runs" / "P", tmp_path / "P")
    evil(tmp_path / "evil.ipynb", tmp_path / "mark")
    shutil.copy(tmp_path / "evil.ipynb", tmp_path / "P" / MASTER)
    shutil.copy(tmp_path / "evil.ipynb", tmp_path / "P" / "report.ipynb")
    names_a_notebook(tmp_path / "P", "evil.ipynb")
    monkeypatch.chdir(tmp_path)
    assert main(["report", "P"]) == 0
    assert not (tmp_path / "mark").exists() and "The run itself used a changed notebook (evil.ipynb)" in capsys.readouterr().err
    page = (tmp_path / "P" / "report.html").read_text()
    assert "a changed notebook (evil.ipynb), and this page was made again by the master notebook" in page
    assert main(["report", "P", "--notebook", "evil.ipynb"]) == 0 and (tmp_path / "mark").read_text() == "ran"
    page, said = (tmp_path / "P" / "report.html").read_text(), capsys.readouterr().err
    assert "made again by the notebook evil.ipynb" in page and ".write('ran')" in page.split("<footer>")[1]
    assert "the page is made by evil.ipynb" in said


def test_compare_runs_no_notebook(stored, tmp_path, monkeypatch):
    for name in "ab":
        shutil.copytree(stored / "runs" / "P", tmp_path / name)
        names_a_notebook(tmp_path / name, str(evil(tmp_path / "evil.ipynb", tmp_path / "mark")))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "a", "b"]) == 0 and not (tmp_path / "mark").exists()


def test_a_batch_goes_on_with_a_changed_notebook_only_where_the_command_names_it(stored, tmp_path, capsys):
    argv = ["batch", "--response_file", str(stored / "response.csv"), "--predictors_file", str(stored / "predictors.csv"), *QUICK]
    argv += ["--output_dir", str(tmp_path / "D")]
    notebook = evil(tmp_path / "evil.ipynb", tmp_path / "mark")
    assert main([*argv, "--notebook", str(notebook)]) == 0 and (tmp_path / "mark").exists()
    (tmp_path / "mark").unlink()
    (tmp_path / "D" / "P" / "run.json").unlink()  # so that there is something to compute
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert f"made with a changed notebook ({notebook})" in said and "--notebook" in said and not (tmp_path / "mark").exists()
