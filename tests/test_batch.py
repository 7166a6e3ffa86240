"""Batches: the numbers of single runs, only what is missing is computed, and every fault leaves a folder from which the same command goes on.

ROUNDS=10 repeats the faults (make stress).
"""

import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from examples import files_of, small_tables

from tfbpmodeling.artifacts import read_run
from tfbpmodeling.batch import directory_names, open_batch, run_batch
from tfbpmodeling.batch_tables import factor_files, read_sources
from tfbpmodeling.cli import main
from tfbpmodeling.config import BatchConfig, InputError
from tfbpmodeling.notebook_runner import MASTER
from tfbpmodeling.report import report_again

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = range(int(os.environ.get("ROUNDS", "1")))
QUICK = dict(n_bootstraps=40, random_state=1, top_n=100, n_cpus=1)
LINES = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]


def lean_notebook(path: Path, fault: str = "") -> str:
    "The master notebook without its figures, which take most of the time; `fault` is a cell after the parameters."
    notebook = nbformat.read(ROOT / "nbs" / "master" / MASTER, as_version=4)
    for cell in notebook.cells:
        lines = cell.source.split("\n")
        cell.source = "\n".join(line for line in lines if not line.strip().startswith(("figures +=", "pairs =", "write_figures(")))
    kept = [c for c in notebook.cells if c.source.strip() not in ("if best:", "if topn:", "if run_folder:", "if result.survivors:")]
    if fault:
        kept.insert(3, nbformat.v4.new_code_cell(fault))
    notebook.cells = kept
    nbformat.write(notebook, path)
    return str(path)


def wide_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    "Responses of P and Q, both with interactors among the predictors."
    response, predictors = small_tables(names=("P", "A", "B", "Q", "C"))
    effect = 0.8 * predictors["Q"] * predictors["A"] + np.random.RandomState(5).normal(size=len(predictors))
    return response.assign(Q=effect.round(6)), predictors


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, str]:
    "Two good tables, as options."
    place = tmp_path_factory.mktemp("tables")
    response, predictors = wide_tables()
    response.to_csv(place / "responses.csv")
    predictors.to_csv(place / "binding.csv")
    return dict(response_file=str(place / "responses.csv"), predictors_file=str(place / "binding.csv"))


def words(options: dict) -> list[str]:
    "Options as the command takes them."
    return [w for name, value in options.items() for w in ([f"--{name}"] if value is True else [f"--{name}", str(value)])]


def numbers_of(folder: Path) -> dict[str, bytes]:
    "Every result file of the run directories below a batch's folder."
    runs = [p for p in sorted(folder.iterdir()) if (p / "run.json").is_file()]
    found = {f"{run.name}/{name}": content for run in runs for name, content in files_of(run).items()}
    return {n: c for n, c in found.items() if not n.endswith((".log", "run.json", "report.html", "report.ipynb", ".diff"))}


def state_of(folder: Path) -> dict:
    return json.loads((folder / "batch.json").read_text())


@pytest.fixture(scope="module")
def calm(tmp_path_factory, tables) -> Path:
    "The undisturbed batch of the fault tests."
    place = tmp_path_factory.mktemp("calm")
    config = BatchConfig(**tables, **QUICK, output_dir=str(place / "D"), notebook=lean_notebook(place / "lean.ipynb"))
    assert not run_batch(config, progress=False).failed
    return place / "D"


# --- what a batch gives


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    "Good factors, one without binding, one with constant binding, one whose response holds text; the command's answer."
    place = tmp_path_factory.mktemp("mixed")
    response, predictors = wide_tables()
    response = response.assign(nobind=1.0, flat=response["P"], text=response["P"].astype(object), **{"a/b": 1.0})
    response.loc["G0007", "text"] = "n/a!"
    response.to_csv(place / "responses.csv")
    predictors.assign(flat=0.0, text=predictors["A"] + 1, **{"a/b": predictors["A"]}).to_csv(place / "binding.csv")
    (place / "names.csv").write_text("id,name\nP,PHO4\nA,ABF1\n")
    files = dict(response_file=place / "responses.csv", predictors_file=place / "binding.csv", gene_names=place / "names.csv")
    argv = ["batch", *words(files), *LINES, "--output_dir", str(place / "D"), "--notebook", lean_notebook(place / "lean.ipynb")]
    assert main(argv) == 1
    return place, argv, {k: str(v) for k, v in files.items()}


def test_every_factor_has_its_state_and_reason(mixed):
    place, _, _ = mixed
    factors, summary = state_of(place / "D")["factors"], pd.read_csv(place / "D" / "summary.csv")
    states = {n: f["state"] for n, f in factors.items()}
    assert (
        states.pop("a/b") == "failed"
        and "path separator" in factors["a/b"]["reason"]
        and states == dict(P="done", Q="done", nobind="not_applicable", flat="not_applicable", text="failed")
    )
    assert (
        "no column" in factors["nobind"]["reason"] and "0 for all 160" in factors["flat"]["reason"] and "n/a!" in factors["text"]["reason"]
    )
    assert summary["perturbed_tf"].tolist() == list(factors) and summary["name"][0] == "PHO4" and summary["fits_per_second"][0] > 0
    assert pd.read_parquet(place / "D" / "summary.parquet")["n_survivors"].tolist()[:2] == summary["n_survivors"].tolist()[:2]
    assert (
        state_of(place / "D")["status"] == "failed"
        and factors["P"]["report"] == "P/report.html"
        and not list((place / "D").glob(".tables*"))
    )


def test_the_summary_is_what_the_runs_say(mixed):
    place, _, _ = mixed
    table = pd.read_csv(place / "D" / "interactors.csv")
    for name in ("P", "Q"):
        run, rows = read_run(place / "D" / name), table[table["perturbed_tf"] == name]
        assert rows["term"].tolist() == list(run.survivors) and len(rows) > 0
        assert [tuple(r) for r in rows[["topn_low", "topn_high"]].to_numpy()] == [run.topn.kept[t] for t in rows["term"]]
        assert rows["delta_r2"].tolist() == run.significance["delta_r2"].tolist()
        assert rows["all_data_median"].tolist() == [run.all_data.bootstrap_coefs_df[t].median() for t in rows["term"]]
    assert table.loc[table["interactor"] == "A", "interactor_name"].unique() == ["ABF1"]


def test_a_run_of_a_batch_is_a_single_run(mixed, tmp_path, no_figures):
    "The same files to the byte, but for the table that stands once and the indices that are left out."
    place, argv, files = mixed
    single = ["linear_perturbation_binding_modeling", *words(files), *LINES, "--perturbed_tf", "P", "--output_dir", str(tmp_path)]
    assert main([*single, "--no_report"]) == 0
    alone, ours = numbers_of(tmp_path), {n: c for n, c in numbers_of(place / "D").items() if n.startswith("P/")}
    summary = json.loads(ours.pop("P/input_data/data_summary.json"))
    assert summary.pop("predictors_file") == "../../input_data/processed_predictors.csv"
    assert summary == json.loads(alone.pop("P/input_data/data_summary.json"))
    assert set(alone) - set(ours) == {"P/input_data/processed_predictors.csv", "P/input_data/bootstrap_indices.csv"}
    assert [n for n in ours if ours[n] != alone[n]] == []
    shared, own = (pd.read_csv(f / "input_data" / "processed_predictors.csv", index_col=0) for f in (place / "D", tmp_path / "P"))
    assert shared.loc[own.index].equals(own)


def test_the_same_command_again_computes_nothing(mixed, capsys):
    place, argv, _ = mixed
    before = {p: p.stat().st_mtime_ns for p in (place / "D").rglob("*.json") if p.name != "batch.json"}
    assert main([*argv, "--n_cpus", "2", "--engine", "kernel"]) == 1
    assert {p: p.stat().st_mtime_ns for p in (place / "D").rglob("*.json") if p.name != "batch.json"} == before
    assert "2 done before and kept" in capsys.readouterr().err


def test_only_the_changed_factor_is_to_do(calm, tables, tmp_path):
    response, predictors = wide_tables()
    config = BatchConfig(**tables, **QUICK, output_dir=str(calm), notebook=str(calm.parent / "lean.ipynb"))
    assert open_batch(config, read_sources(config))[1] == []
    response.assign(Q=response["Q"].to_numpy()[::-1]).to_csv(tmp_path / "responses.csv")
    changed = dataclasses.replace(config, response_file=str(tmp_path / "responses.csv"))
    assert open_batch(changed, read_sources(changed))[1] == ["Q"]
    (calm / "Q" / "best_all_data_model.json").rename(tmp_path / "away")
    assert open_batch(config, read_sources(config))[1] == ["Q"]
    (tmp_path / "away").rename(calm / "Q" / "best_all_data_model.json")
    (tmp_path / "black.txt").write_text("G0001\n")
    with pytest.raises(InputError, match="--blacklist_file was False, now True"):
        open_batch(dataclasses.replace(config, blacklist_file=str(tmp_path / "black.txt")), read_sources(config))
    assert open_batch(dataclasses.replace(config, overwrite=True, perturbed_tfs="P"), read_sources(config))[1] == ["P"]


def test_other_options_are_refused_with_the_difference(calm, tables, capsys):
    argv = ["batch", *words(tables), *LINES, "--output_dir", str(calm), "--notebook", str(calm.parent / "lean.ipynb")]
    before = files_of(calm)
    assert main([*argv, "--n_bootstraps", "41", "--row_max"]) == 2
    said = capsys.readouterr().err
    assert "--n_bootstraps was 40, now 41" in said and "--row_max was False, now True" in said and "--overwrite" in said
    assert {n: c for n, c in files_of(calm).items() if n != ".lock"} == {n: c for n, c in before.items() if n != ".lock"}


def test_overwrite_computes_again_with_other_options(calm, tables, tmp_path):
    shutil.copytree(calm, tmp_path / "D")
    config = BatchConfig(**tables, **QUICK | {"n_bootstraps": 41}, output_dir=str(tmp_path / "D"), notebook=str(calm.parent / "lean.ipynb"))
    batch = run_batch(dataclasses.replace(config, overwrite=True, perturbed_tfs="Q"), progress=False)
    assert list(batch.factors) == ["Q"] and read_run(tmp_path / "D" / "Q").config.n_bootstraps == 41


def test_two_at_once_and_transformed_predictors(tables, tmp_path, no_figures):
    "The shared table is not transformed, because a transform depends on the genes of the run; reading back transforms it as the run did."
    notebook = lean_notebook(tmp_path / "lean.ipynb")
    config = BatchConfig(
        **tables, **QUICK, transform_predictors="rank", missing="drop", notebook=notebook, output_dir=str(tmp_path / "two")
    )
    run_batch(dataclasses.replace(config, n_cpus=2, save_bootstrap_indices=True), progress=False)
    back = read_run(tmp_path / "two" / "P")
    single = dict(
        tables, **QUICK, transform_predictors="rank", missing="drop", perturbed_tf="P", no_report=True, output_dir=tmp_path / "one"
    )
    main(["linear_perturbation_binding_modeling", *words(single)])
    alone = read_run(tmp_path / "one" / "P")
    assert back.data.predictors.equals(alone.data.predictors) and back.verdict == alone.verdict
    assert (tmp_path / "two" / "Q" / "input_data" / "bootstrap_indices.csv").is_file()


def test_one_table_for_each_factor(tmp_path):
    response, predictors = wide_tables()
    (tmp_path / "R").mkdir()
    (tmp_path / "B").mkdir()
    response[["P"]].to_csv(tmp_path / "R" / "P.csv")
    response[["Q"]].rename(columns={"Q": "logFC"}).to_csv(tmp_path / "R" / "Q.tsv.gz", sep="\t")
    (tmp_path / "R" / "notes.md").write_text("no table")
    for name in ("P", "X"):
        predictors.to_parquet(tmp_path / "B" / f"{name}.parquet")
    files = dict(response_file=str(tmp_path / "R"), predictors_file=str(tmp_path / "B"), output_dir=str(tmp_path / "D"))
    sources = read_sources(BatchConfig(**files))
    assert {n: f.reason for n, f in sources.factors.items()} == {
        "P": "",
        "Q": f"no table of its binding in {tmp_path / 'B'}",
        "X": "no response",
    }
    batch = run_batch(BatchConfig(**files, **QUICK, notebook=lean_notebook(tmp_path / "lean.ipynb")), progress=False)
    assert dict(batch.counts) == {"done": 1, "not_applicable": 2} and (tmp_path / "D/P/input_data/processed_predictors.csv").is_file()
    assert list(factor_files("response_file", str(tmp_path / "R" / "*.csv"))) == ["P"]


def test_the_batch_refuses_what_has_no_meaning(tables, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tfbpmodeling.batch_workers.CONNECT", 1)
    argv = ["batch", *words(tables), "--output_dir", str(tmp_path / "D")]
    for extra, says in (
        (["--timestamp"], "--timestamp has no meaning"),
        (["--perturbed_tf", "P"], "--perturbed_tfs"),
        (["--n_cpus", "1", "--n_jobs", "2"], "--n_jobs 2"),
        (["--perturbed_tfs", "p"], "Did you mean 'P'"),
        (["--top_n", "3"], "too few"),
        (["--engine", "kernl"], "Did you mean 'kernel'"),
        (["--predictors_file", str(tmp_path)], "holds no table"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler"),
    ):
        assert main([*argv, *extra]) == 2, extra
        assert says in capsys.readouterr().err and not (tmp_path / "D").exists(), extra


def test_a_folder_of_single_runs_is_not_touched(tables, tmp_path, capsys, no_figures):
    single = [
        "linear_perturbation_binding_modeling",
        *words(tables),
        *LINES,
        "--perturbed_tf",
        "P",
        "--no_report",
        "--output_dir",
        str(tmp_path),
    ]
    assert main(single) == 0
    before = files_of(tmp_path)
    assert main(["batch", *words(tables), *LINES, "--output_dir", str(tmp_path)]) == 2
    assert "not of a batch" in capsys.readouterr().err and {n: c for n, c in files_of(tmp_path).items() if n != ".lock"} == before


def test_no_two_factors_share_a_directory():
    names = ["abc", "ABC", "Abc ", "summary.csv", "Input_Data", "x.failed", "x", "a/b", "a b", "é", "n" * 300]
    places = directory_names(names)
    assert len({p.lower() for p in places.values()}) == len(names) and places["x"] == "x"
    assert not {p.lower() for p in places.values()} & {"summary.csv", "input_data"} and not any(
        p.endswith(".failed") for p in places.values()
    )


def test_both_engines_give_the_same_numbers_and_reports(tables, tmp_path, calm):
    "The shipped notebook with its figures, in a kernel and without."
    config = BatchConfig(**tables, **QUICK, perturbed_tfs="P", output_dir=str(tmp_path / "inprocess"))
    run_batch(config, progress=False)
    run_batch(dataclasses.replace(config, engine="kernel", output_dir=str(tmp_path / "kernel")), progress=False)
    a, b = numbers_of(tmp_path / "inprocess"), numbers_of(tmp_path / "kernel")
    assert a.keys() == b.keys() and [n for n in a if a[n] != b[n]] == [] and any(n.endswith(".png") for n in a)
    pages = [nbformat.read(tmp_path / e / "P" / "report.ipynb", as_version=4) for e in ("inprocess", "kernel")]
    outputs = [
        [[_content(o) for o in c.get("outputs", [])] for c in page.cells if "remove-input" not in c.metadata.get("tags", [])]
        for page in pages
    ]
    assert outputs[0] == outputs[1] and sum(map(len, outputs[0])) > 15
    html = (tmp_path / "inprocess" / "P" / "report.html").read_text()
    report_again(tmp_path / "inprocess" / "P")
    assert (tmp_path / "inprocess" / "P" / "report.html").read_text() == html


def _content(output: dict) -> tuple:
    data = dict(output.get("data", {}))
    data.pop("text/plain", None) if len(data) > 1 else None  # holds addresses of objects
    return output["output_type"], output.get("text"), tuple(sorted(data.items()))


# --- faults: after each a second run completes to the numbers of an undisturbed one

HANG = """
import os, time
from pathlib import Path
mark = Path({mark!r})
if perturbed_tf == "Q" and not mark.exists():
    half = mark.with_suffix(".half")
    half.write_text(str(os.getpid()))
    half.rename(mark)
    {act}
"""


@dataclasses.dataclass
class Faulty:
    "A batch whose factor Q hangs (or does what `act` says) the first time."

    place: Path
    tables: dict
    engine: str = "inprocess"
    act: str = "time.sleep(600)"

    def __post_init__(self):
        self.mark, self.folder = self.place / "mark", self.place / "D"
        notebook = lean_notebook(self.place / "faulty.ipynb", HANG.format(mark=str(self.mark), act=self.act))
        self.config = BatchConfig(**self.tables, **QUICK, output_dir=str(self.folder), engine=self.engine, notebook=notebook)

    def command(self, *more: str, **how) -> subprocess.Popen:
        "The batch as a command of its own."
        argv = [sys.executable, "-m", "tfbpmodeling", "batch", *words(self.tables), *LINES, "--output_dir", str(self.folder)]
        return subprocess.Popen(
            [*argv, "--engine", self.engine, "--notebook", self.config.notebook, *more], stderr=subprocess.PIPE, text=True, **how
        )

    def hung(self) -> int:
        "The process that hangs, once it does."
        for _ in range(1200):
            if self.mark.exists():
                return int(self.mark.read_text())
            time.sleep(0.05)
        raise AssertionError("it never hung")

    def meanwhile(self, act) -> threading.Thread:
        thread = threading.Thread(target=lambda: act(self.hung()))
        thread.start()
        return thread

    def completes(self, calm: Path, **how) -> None:
        "The same command again: everything is there, nothing is left over."
        batch = run_batch(dataclasses.replace(self.config, **how), progress=False)
        assert not batch.failed and batch.state["status"] == "done" and numbers_of(self.folder) == numbers_of(calm)
        left = {p.name for p in self.folder.iterdir()} - {"P", "Q", "input_data", "plots", ".lock", "index.html"}
        assert left == {"batch.json", "summary.csv", "summary.parquet", "interactors.csv"}


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=20)[1]


ENGINES = ["inprocess", "kernel"] if len(ROUNDS) > 1 else ["inprocess"]


@pytest.fixture(params=ROUNDS)
def faulty(request, tmp_path, tables):
    return lambda **how: Faulty(tmp_path, tables, **how)


FAULTS = """{
    "Q": "raise MemoryError('<b>broken</b>')",
    "S": "mark.unlink(); os._exit(7)",
    "T": "time.sleep(600)",
}"""


def test_fault_of_single_factors(tmp_path, tables):
    "Each keeps its error under its name, the others go on; asked to, the same command completes them."
    response = pd.read_csv(tables["response_file"], index_col=0)
    binding = pd.read_csv(tables["predictors_file"], index_col=0)
    for name in "ST":
        response[name], binding[name] = response["Q"], binding["Q"]
    response.to_csv(tmp_path / "responses.csv")
    binding.to_csv(tmp_path / "binding.csv")
    marks = tmp_path / "marks"
    marks.mkdir()
    cell = f"""
import os, time
from pathlib import Path
mark = Path({str(marks)!r}, perturbed_tf)
act = {FAULTS}.get(perturbed_tf)
if act and not mark.exists():
    mark.touch()
    exec(act)
"""
    files = dict(
        response_file=str(tmp_path / "responses.csv"), predictors_file=str(tmp_path / "binding.csv"), output_dir=str(tmp_path / "D")
    )
    config = BatchConfig(**files, **QUICK, notebook=lean_notebook(tmp_path / "lean.ipynb", cell))
    first = run_batch(dataclasses.replace(config, fail_fast=True, perturbed_tfs="Q,P"), progress=False)
    assert list(first.failed) == ["Q"] and first.factors["P"]["state"] == "waiting"
    run_batch(dataclasses.replace(config, time_limit=1, perturbed_tfs="T"), progress=False)
    batch = run_batch(config, progress=False)
    assert batch.failed == {
        "Q": "a cell of the notebook failed: MemoryError: <b>broken</b>",
        "S": "its process ended with status 7",
        "T": "it did not end within --time_limit",
    }
    assert batch.factors["P"]["state"] == "done" and batch.factors["S"]["attempts"] == 2 and batch.state["status"] == "failed"
    for name in "QST":
        left = tmp_path / "D" / f"{name}.failed"
        assert batch.factors[name]["directory"] == left.name and json.loads((left / "run.json").read_text())["status"] == "failed"
        assert name == "T" or "the run failed" in (left / "report.html").read_text()
    assert "Traceback" in next((tmp_path / "D" / "Q.failed").glob("*.log")).read_text()
    assert "MemoryError: &lt;b&gt;broken" in (tmp_path / "D" / "Q.failed" / "report.html").read_text()
    for name in "ST":
        (marks / name).touch()
    batch = run_batch(dataclasses.replace(config, retry_failed=True), progress=False)
    assert not batch.failed and not list((tmp_path / "D").glob("*.failed")) and batch.counts["done"] == 4
    ours = numbers_of(tmp_path / "D")
    assert ours["Q/interactor_vs_main_result.json"].replace(b'"Q:', b'"T:') == ours["T/interactor_vs_main_result.json"]


@pytest.mark.parametrize("engine", ["inprocess", "kernel"])
def test_fault_worker_or_kernel_killed(faulty, calm, engine):
    "Tried once more at once, so that this batch is whole already."
    case = faulty(engine=engine)
    killer = case.meanwhile(lambda pid: os.kill(pid, signal.SIGKILL))
    batch = run_batch(case.config, progress=False)
    killer.join()
    assert not batch.failed and batch.factors["Q"]["attempts"] == 2
    case.completes(calm)


@pytest.mark.parametrize("engine", ENGINES)
def test_fault_batch_killed(faulty, calm, engine):
    case = faulty(engine=engine)
    with case.command() as run:
        case.hung()
        processes = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    assert processes and all_gone(processes) and state_of(case.folder)["status"] == "running"
    case.completes(calm)


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_fault_signal_while_another_batch_asks(faulty, calm, name, status):
    case = faulty(engine=ENGINES[-1] if name == "SIGINT" else "inprocess")
    with case.command(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) as run:
        case.hung()
        processes = psutil.Process(run.pid).children(recursive=True)
        with pytest.raises(InputError, match=f"another batch works in .*process {run.pid}"):
            run_batch(case.config, progress=False)
        run.send_signal(getattr(signal, name))
        said = run.stderr.read()
        assert run.wait(timeout=60) == status and "run the same command again" in said, said
    assert processes and all_gone(processes)
    state = state_of(case.folder)
    assert state["status"] == "interrupted" and state["factors"]["P"]["state"] == "done" and state["factors"]["Q"]["state"] == "waiting"
    case.completes(calm)


def test_fault_full_disk(faulty, calm):
    "The batch stops with one sentence. A disk in memory where root may mount one, else a limit to the size of files."
    case, limit = faulty(act="pass"), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
    case.folder.mkdir()
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", case.folder], capture_output=True).returncode
    try:
        with case.command(preexec_fn=None if mounted else limit) as run:
            said = run.stderr.read()
            assert run.wait() == 1 and "make room" in said and "Traceback" not in said, said
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=50m", case.folder], check=True)
        case.completes(calm)
    finally:
        if mounted:
            subprocess.run(["umount", case.folder], check=True)


# --- a cluster on this machine


@pytest.fixture
def dask_cluster(tmp_path):
    "A Dask scheduler and two workers, as processes; their address, and the workers."
    pytest.importorskip("distributed")
    file, here = tmp_path / "scheduler.json", dict(cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    python = [sys.executable, "-m"]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    worker = [*python, "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    started = [subprocess.Popen([*scheduler, "--scheduler-file", str(file)], **here)]
    started += [subprocess.Popen([*worker, "--scheduler-file", str(file)], **here) for _ in range(2)]
    try:
        while not file.exists() and started[0].poll() is None:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], started[1:]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def test_cluster_gives_the_same_numbers_though_a_worker_dies(faulty, calm, dask_cluster):
    address, workers = dask_cluster
    case, killed = faulty(), []

    def kill_worker_of(pid: int) -> None:
        killed.append(psutil.Process(pid).ppid())
        os.kill(killed[0], signal.SIGKILL)

    killer = case.meanwhile(kill_worker_of)
    batch = run_batch(dataclasses.replace(case.config, scheduler=address), progress=False)
    killer.join()
    assert killed[0] in [w.pid for w in workers] and not batch.failed
    alive = next(w for w in workers if w.pid != killed[0])
    assert not psutil.Process(alive.pid).children()  # the process of the batch ended with it
    case.completes(calm)


def test_cluster_interrupted(faulty, calm, dask_cluster):
    "Ctrl-C ends the run that hangs on a worker, not the worker; the same command completes the batch there."
    address, workers = dask_cluster
    case = faulty()
    with case.command("--scheduler", address, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) as run:
        hung = psutil.Process(case.hung())
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
        assert run.wait(timeout=60) == 130 and "run the same command again" in said, said
    assert all_gone([hung]) and all(worker.poll() is None for worker in workers)
    assert state_of(case.folder)["status"] == "interrupted"
    case.completes(calm, scheduler=address)


# --- the files that the documentation hands out


def test_files_for_clusters_are_whole():
    docs = ROOT / "docs" / "cluster"
    subprocess.run(["bash", "-n", docs / "slurm_array.sh"], check=True)
    compile((docs / "slurm_dask.py").read_text(), "slurm_dask.py", "exec")
    known = {f"--{name}" for name in BatchConfig().to_dict()}
    for name in ("slurm_array.sh", "Snakefile"):
        command = (docs / name).read_text().partition("linear_perturbation_binding_modeling")[2]
        assert set(re.findall(r"--[a-z_]+", command)) - known == set(), name
    options = (docs / "slurm_dask.py").read_text().partition("BatchConfig(\n")[2].partition("        )\n")[0]
    assert {f"--{name}" for name in re.findall(r"(\w+)=", options)} <= known
    assert all(file in (docs.parent / "batches.md").read_text() for file in ("slurm_array.sh", "slurm_dask.py", "Snakefile"))
