"""Run directories and batch folders that are damaged or mean harm: one sentence, nothing executed, nothing written outside, no page from garbage.

A mutation is drawn by its seed. The fast tests try 300 of them, the slow ones 1,000. What `report` would show is what `read_run` gives, so most cases stop there.
"""

import contextlib
import io
import json
import os
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from examples import Here, files_of, run_here, small_tables, write_tables

import tfbpmodeling.batch
from tfbpmodeling.artifacts import own_folder, put_in_place, read_run, remove, replace_file, run_directory, settle, slug, write_run
from tfbpmodeling.batch import run_batch
from tfbpmodeling.cli import main
from tfbpmodeling.compare import compare_page, read_pair
from tfbpmodeling.config import BatchConfig, Config, InputError
from tfbpmodeling.modeling_data import load_modeling_data
from tfbpmodeling.report import report_again, run_to_directory
from tfbpmodeling.safe_pickle import json_text
from tfbpmodeling.workflow import run

QUICK = dict(n_bootstraps=30, random_state=1, top_n=100, n_cpus=1)


# --- mutations of one file


def swapped(value, rng):
    "The value with one part of it made another kind, or gone."
    odd = [None, True, -1, 1e308, 10**400, "x", "<script>alert(1)</script>", [], {}, [[]], "../../outside", "\ud800", "\x00"]
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = list(value)[rng.integers(len(value))]
        if rng.random() < 0.25:
            return {n: v for n, v in value.items() if n != name}
        return value | {name: swapped(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        i = rng.integers(len(value))
        return [*value[:i], swapped(value[i], rng), *value[i + 1 :]]
    return odd[rng.integers(len(odd))]


def other_json(path: Path, rng) -> str:
    value = swapped(json.loads(path.read_text()), rng)
    path.write_text(json.dumps(value), encoding="utf-8", errors="surrogatepass")
    return "a value swapped or gone"


def special_json(path: Path, rng) -> str:
    texts = [
        "{}",
        "[]",
        "null",
        "3",
        '"text"',
        "{",
        "[" * 100_000,
        '{"a": NaN}',
        '{"status": "done"}',
        '{"status": "done", "command": "tfbs"}',
        "\ufeff{}",
    ]
    path.write_text(texts[rng.integers(len(texts))])
    return "another JSON text"


def other_cell(path: Path, rng) -> str:
    lines = path.read_text().splitlines()
    i = rng.integers(len(lines))
    cells = lines[i].split(",")
    cells[rng.integers(len(cells))] = ["", "nan", "inf", "1e308", "0.25", "text", "<b>", '"', "-1", "9" * 400][rng.integers(10)]
    lines[i] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return f"another cell in line {i + 1}"


def other_columns(path: Path, rng) -> str:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    j, act = rng.integers(len(rows[0])), rng.integers(4)
    if act == 0:
        rows = [row[:j] + row[j + 1 :] for row in rows]
    elif act == 1:
        rows = [[*row, "1"] for row in rows]
    elif act == 2:
        rows[0][j] = rows[0][0]
    else:
        rows[0] = rows[0][::-1]
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    return "other columns"


def other_rows(path: Path, rng) -> str:
    lines = path.read_text().splitlines()
    i = rng.integers(len(lines))
    lines = [lines[:i] + lines[i + 1 :], lines[:1], [*lines, lines[-1]], lines[:1] + lines[:0:-1], lines[1:]][rng.integers(5)]
    path.write_text("\n".join(lines) + "\n")
    return "other rows"


def cut(path: Path, rng) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content) + 1)])
    return "cut off"


def bits(path: Path, rng) -> str:
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(rng.integers(1, 6)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    return "some bits turned"


def noise(path: Path, rng) -> str:
    path.write_bytes(
        [b"", b"\0" * 100, rng.bytes(500), b"\xff\xfe" + "a,b\n1,2\n".encode("utf-16-le"), b"\x1f\x8b\x08garbage"][rng.integers(5)]
    )
    return "noise"


def not_there(path: Path, rng) -> str:
    path.unlink()
    act = rng.integers(6)
    if act == 1:
        path.mkdir()
    elif act == 2:
        path.symlink_to(path.parent / "nowhere")
    elif act == 3:
        path.symlink_to(path)
    elif act == 4:
        os.mkfifo(path)
    elif act == 5:
        path.symlink_to(sentinel_of(path) / "thesis.txt")
    return ("gone", "a folder", "a link to nothing", "a link to itself", "a pipe", "a link to a file elsewhere")[act]


def sentinel_of(path: Path) -> Path:
    "The folder that nothing may touch, above the directories of the test."
    return next(p for p in path.parents if (p / "elsewhere").is_dir()) / "elsewhere"


class Runs:
    def __reduce__(self):
        return (open, ("executed", "w"))


def a_program(path: Path, rng) -> str:
    path.write_bytes(pickle.dumps(Runs()))
    return "a pickle that runs"


ANY = (cut, bits, noise, not_there, a_program)
BY_ENDING = {".json": (other_json, other_json, special_json, *ANY), ".csv": (other_cell, other_cell, other_columns, other_rows, *ANY)}


def mutated(folder: Path, seed: int, only: tuple[str, ...] = ()) -> str:
    "Change one file of a directory; says what was done."
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and (not only or p.relative_to(folder).as_posix() in only))
    path = files[rng.integers(len(files))]
    acts = BY_ENDING.get(path.suffix, ANY)
    return f"{path.relative_to(folder)}: {acts[rng.integers(len(acts))](path, rng)}"


# --- the directories


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    "Tables; a run with everything in it; a copy of it as version 0.1.0 left them, without hashes; a folder that nothing may touch."
    folder = tmp_path_factory.mktemp("place")
    write_tables(folder, *small_tables(names=("P", "A", "B", "C")))
    (folder / "names.csv").write_text("id,name\nA,ABF1\n")
    files = {f"{name}_file": str(folder / f"{name}.csv") for name in ("response", "predictors")}
    config = Config(**files, gene_names=str(folder / "names.csv"), perturbed_tf="P", inference="robust_ols", null_permutations=3, **QUICK)
    for name in ("good", "older"):
        (folder / name).mkdir()
        write_run(folder / name, run(config, load_modeling_data(config), progress=False))
    facts = json.loads((folder / "older" / "run.json").read_text())
    (folder / "older" / "run.json").write_text(json_text({n: v for n, v in facts.items() if n not in ("files", "checksum")}))
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "thesis.txt").write_text("three years of work")
    return folder


@contextlib.contextmanager
def nothing_else_changes(place: Path, monkeypatch):
    "No file beside the directory under test is touched, and no pickle was run."
    before = files_of(place / "elsewhere")
    monkeypatch.chdir(place)
    yield
    assert files_of(place / "elsewhere") == before and not (place / "executed").exists()


def refused(words: list[str]) -> str:
    "The one sentence with which the command refuses; '' where it did its work."
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        status = main(words)
    lines = [line for line in said.getvalue().splitlines() if line.startswith("tfbpmodeling:")]
    assert status in (0, 2) and "Traceback" not in said.getvalue(), said.getvalue()
    assert len(lines) == (status == 2) and all(line.startswith("tfbpmodeling: error: ") for line in lines), said.getvalue()
    return lines[0] if status else ""


@pytest.fixture
def undrawn(monkeypatch):
    "Pages without their figures, which take most of the time; the slow tests draw them."
    monkeypatch.setattr("tfbpmodeling.figures.FigureSpec._repr_html_", lambda self: f"<figure>{self.name}</figure>")


def try_run(place: Path, monkeypatch, kind: str, seed: int, page: str) -> str:
    "Compare a mutated run directory with a good one: a refusal, or the page of the run as it was."
    monkeypatch.chdir(place)
    shutil.rmtree(place / "P", ignore_errors=True)
    shutil.copytree(place / kind, place / "P")
    done = mutated(place / "P", seed)
    with nothing_else_changes(place, monkeypatch):
        said = refused(["compare", "P", "good", "-o", "page.html", "--overwrite"])
    made = (place / "page.html").read_text() if not said else ""
    assert said or kind == "older" or made == page, f"seed {seed}, {done}: a page from garbage"
    assert not said or (len(said) < 700 and "P" in said), f"seed {seed}, {done}: {said}"
    assert not [p for p in place.iterdir() if p.name.startswith(".")], done
    return said


def whole_page(place: Path, monkeypatch) -> str:
    monkeypatch.chdir(place)
    shutil.rmtree(place / "P", ignore_errors=True)
    shutil.copytree(place / "good", place / "P")
    return compare_page(read_pair("P", "good"))


@pytest.mark.parametrize("kind, seeds", [("good", range(120)), ("older", range(1000, 1080))], ids=["with hashes", "without"])
def test_a_mutated_run_directory_is_refused_in_one_sentence(place, monkeypatch, undrawn, kind, seeds):
    page = whole_page(place, monkeypatch)
    said = [try_run(place, monkeypatch, kind, seed, page) for seed in seeds]
    assert sum(map(bool, said)) > len(said) // 2


@pytest.mark.slow
@pytest.mark.parametrize("kind, seeds", [("good", range(10_000, 10_400)), ("older", range(20_000, 20_300))], ids=["with hashes", "without"])
def test_many_mutated_run_directories(place, monkeypatch, kind, seeds):
    page = whole_page(place, monkeypatch)
    for seed in seeds:
        try_run(place, monkeypatch, kind, seed, page)


# --- batch folders


@pytest.fixture(scope="module")
def batch(place) -> Path:
    "A finished batch of two factors, and its copy without hashes."
    response = pd.read_csv(place / "response.csv", index_col=0)
    response.assign(B=np.random.default_rng(2).normal(size=len(response))).to_csv(place / "responses.csv")
    assert not run_here(batch_config(place, "batch")).failed
    shutil.copytree(place / "batch", place / "older_batch")
    for path in (place / "older_batch").rglob("*.json"):
        if path.name in ("run.json", "batch.json"):
            facts = json.loads(path.read_text())
            path.write_text(json_text({n: v for n, v in facts.items() if n not in ("files", "checksum")}))
    return place / "batch"


def batch_config(place: Path, folder: str, **more) -> BatchConfig:
    files = dict(response_file=str(place / "responses.csv"), predictors_file=str(place / "predictors.csv"))
    return BatchConfig(**files, **QUICK, null_permutations=2, no_report=True, output_dir=str(place / folder), **more)


def goes_on(config: BatchConfig, monkeypatch) -> tuple[dict, list[str]]:
    "What the same command would keep, as rows of the summary, and what it would compute; nothing is computed, and no page is drawn."
    to_do = []
    with monkeypatch.context() as m:
        m.setattr(tfbpmodeling.batch, "Local", Here)
        m.setattr(tfbpmodeling.batch, "_work", lambda batch, pool, tasks, progress: to_do.extend(tasks))
        m.setattr(tfbpmodeling.batch, "write_overview", lambda *_: None)
        found = run_batch(config, progress=False)
    finished = [name for name, entry in found.factors.items() if entry["state"] in ("done", "nothing_found")]
    kept = {
        name: (found.rows[name] | dict(seconds=None), found.found[name]) for name in finished
    }  # the seconds are of this start where batch.json is lost
    return kept, to_do


def try_batch(place: Path, monkeypatch, kind: str, seed: int, good: dict) -> str:
    "Go on with a mutated batch: a refusal, or every factor kept as it was or computed again."
    shutil.rmtree(place / "D", ignore_errors=True)
    shutil.copytree(place / kind, place / "D")
    files = tuple(p.relative_to(place / "D").as_posix() for p in (place / "D").rglob("*") if p.suffix in (".json", ".csv"))
    done = mutated(place / "D", seed, ("batch.json",) if seed % 3 == 0 else files)
    with nothing_else_changes(place, monkeypatch):
        try:
            kept, to_do = goes_on(batch_config(place, "D"), monkeypatch)
        except InputError as error:
            assert str(place / "D") in str(error) and "\n" not in str(error) and len(str(error)) < 700, f"seed {seed}, {done}: {error}"
            return str(error)
    assert sorted([*kept, *to_do]) == ["B", "P"], f"seed {seed}, {done}"
    if kind == "batch":
        assert {n: r for n, r in kept.items() if r != good[n]} == {}, f"seed {seed}, {done}: kept with other numbers"
    return ""


@pytest.mark.parametrize("kind, seeds", [("batch", range(80)), ("older_batch", range(1000, 1030))], ids=["with hashes", "without"])
def test_a_mutated_batch_is_refused_or_computes_again(place, batch, monkeypatch, kind, seeds):
    good = goes_on(batch_config(place, "batch"), monkeypatch)[0]
    assert list(good) == ["P", "B"]
    said = [try_batch(place, monkeypatch, kind, seed, good) for seed in seeds]
    assert 0 < sum(map(bool, said)) < len(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, seeds", [("batch", range(10_000, 10_200)), ("older_batch", range(20_000, 20_100))], ids=["with hashes", "without"]
)
def test_many_mutated_batches(place, batch, monkeypatch, kind, seeds):
    good = goes_on(batch_config(place, "batch"), monkeypatch)[0]
    for seed in seeds:
        try_batch(place, monkeypatch, kind, seed, good)


@pytest.mark.parametrize(
    "text", ["{}", "[]", '"text"', '{"factors": []}', '{"parameters": {}, "seed": "1", "fits_per_second": null, "factors": {}}', ""]
)
def test_a_state_that_is_none_is_one_sentence_and_overwrite_is_the_way_out(place, batch, monkeypatch, text):
    shutil.rmtree(place / "D", ignore_errors=True)
    shutil.copytree(batch, place / "D")
    (place / "D" / "batch.json").write_text(text)
    with pytest.raises(InputError, match="batch.json is damaged .*--overwrite"):
        goes_on(batch_config(place, "D"), monkeypatch)
    assert goes_on(batch_config(place, "D", overwrite=True), monkeypatch)[1] == ["P", "B"]


def test_a_damaged_run_of_a_batch_is_computed_again(place, batch):
    "In earnest: also where run.json itself is gone, which says whose the folder is."
    shutil.rmtree(place / "D", ignore_errors=True)
    shutil.copytree(batch, place / "D")
    before = {n: c for n, c in files_of(place / "D").items() if n.endswith(".csv") and n != "summary.csv"}
    (place / "D" / "P" / "run.json").unlink()
    (place / "D" / "B" / "interactor_significance" / "robust_fits.csv").write_text("no table")
    assert not run_here(batch_config(place, "D")).failed
    after = files_of(place / "D")
    assert [n for n in before if before[n] != after[n]] == [] and read_run(place / "D" / "P") and not (place / "D" / "P.failed").exists()


# --- planted links


def test_a_whole_file_is_never_written_through_a_link(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    for name, target in (("a", "thesis.txt"), ("b", "nowhere"), ("c", "c")):
        (tmp_path / name).symlink_to(tmp_path / target)
        replace_file(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new" and not (tmp_path / name).is_symlink()
    assert (tmp_path / "thesis.txt").read_text() == "three years of work" and not (tmp_path / "nowhere").exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        replace_file(tmp_path / "folder", "new")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with pytest.raises(InputError, match="is a link or a file"):
        own_folder(tmp_path / "link")
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".half")]


PLANTED = (".lock batch.json summary.csv summary.parquet interactors.csv index.html input_data input_data/processed_predictors.csv plots plots/heatmap.png "
    ".summary.csv.half .batch.json.half .P.new .P.old P.failed .P.partial-{host}-999999999.abcdef .tables-0123").split()  # fmt: skip


def plant(place: Path, name: str, leads_to: str) -> None:
    "A link in a copy of the batch, in the place of what has its name."
    shutil.rmtree(place / "D", ignore_errors=True)
    shutil.copytree(place / "batch", place / "D")
    path = place / "D" / name.format(host=slug(socket.gethostname()))
    remove(path)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(place / "elsewhere" / leads_to)


@pytest.mark.parametrize("name", PLANTED)
def test_no_planted_link_of_a_batch_is_followed(place, batch, monkeypatch, name):
    "Neither where everything is done before, nor where everything is computed again."
    plant(place, name, "thesis.txt")
    with nothing_else_changes(place, monkeypatch), contextlib.suppress(InputError):
        run_batch(batch_config(place, "D"), progress=False)
    for leads_to in ("thesis.txt", ".", "nowhere"):
        plant(place, name, leads_to)
        with nothing_else_changes(place, monkeypatch), contextlib.suppress(InputError):
            goes_on(batch_config(place, "D", overwrite=True), monkeypatch)


def test_another_name_of_a_file_is_no_lock(place, batch, tmp_path):
    shutil.copytree(batch, place / "D", dirs_exist_ok=True)
    (place / "D" / ".lock").unlink(missing_ok=True)
    os.link(place / "elsewhere" / "thesis.txt", place / "D" / ".lock")
    with pytest.raises(InputError, match="lock"):
        run_batch(batch_config(place, "D"), progress=False)
    assert (place / "elsewhere" / "thesis.txt").read_text() == "three years of work"


@pytest.mark.parametrize(
    "name", ["report.html", "report.ipynb", ".executed.ipynb", ".kernel_log.jsonl", "notebook_changes.diff", ".report.html.half"]
)
def test_no_planted_link_of_a_run_is_followed_by_report(place, monkeypatch, name):
    shutil.rmtree(place / "P", ignore_errors=True)
    shutil.copytree(place / "good", place / "P")
    (place / "P" / name).symlink_to(place / "elsewhere" / "thesis.txt")
    monkeypatch.setattr("tfbpmodeling.report.run_notebook", written_notebook)
    with nothing_else_changes(place, monkeypatch), contextlib.suppress(InputError):
        report_again(place / "P")


def written_notebook(notebook, output: Path, parameters: dict, engine: str = "kernel") -> None:
    "As papermill leaves it, but not run."
    import nbformat

    nbformat.write(notebook, output)


# --- two at once


def test_the_slower_of_two_runs_keeps_its_results(place, monkeypatch):
    "It says where they are, and the next run of the factor leaves them there."
    monkeypatch.chdir(place)
    shutil.rmtree(place / "out", ignore_errors=True)
    config = Config(
        response_file="response.csv", predictors_file="predictors.csv", perturbed_tf="P", no_report=True, output_dir="out", **QUICK
    )
    monkeypatch.setattr("tfbpmodeling.report.write_figures", lambda *_: None)
    with pytest.raises(FileExistsError, match="appeared while this run was under way") as error:
        with run_directory(config) as slower:
            write_run(slower, run(config, load_modeling_data(config), progress=False))
            run_to_directory(config, progress=False)
    kept = Path(str(error.value).rpartition(" are in ")[2])
    assert kept.parent == Path("out") and not kept.name.startswith(".") and read_run(kept).verdict == read_run("out/P").verdict
    run_to_directory(Config(**config.to_dict() | dict(overwrite=True)), progress=False)
    assert read_run(kept).verdict == read_run("out/P").verdict and sorted(p.name for p in Path("out").iterdir()) == ["P", kept.name]


def test_two_runs_that_overwrite_at_once_lose_nothing(tmp_path):
    for name, text in (("P", "old"), (".P.new", "faster"), (".P.partial", "slower")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "word").write_text(text)
    with pytest.raises(FileExistsError, match="the results of this run are in"):
        put_in_place(tmp_path / ".P.partial", tmp_path / "P", overwrite=True)
    settle(tmp_path / "P")
    assert (
        sorted((p / "word").read_text() for p in tmp_path.iterdir()) == ["faster", "slower"]
        and (tmp_path / "P" / "word").read_text() == "faster"
    )
