"""The master notebook and the page: same parameters as Config, same numbers, a page that needs nothing and hides nothing."""

import dataclasses
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import assert_accessible, looked_at
from examples import files_of, small_tables, write_tables

from tfbpmodeling.artifacts import read_run
from tfbpmodeling.cli import main
from tfbpmodeling.config import Config
from tfbpmodeling.html import block_table
from tfbpmodeling.interactor_significance import robust_fits
from tfbpmodeling.least_squares import hc3_interval
from tfbpmodeling.modeling_data import make_modeling_data
from tfbpmodeling.notebook_runner import MASTER, NOTEBOOK_ONLY, hand_over, handed_over, notebook_changes, parameters_of, tagged

ROOT = Path(__file__).resolve().parents[1]
RUN = "linear_perturbation_binding_modeling"
QUICK = ["--n_bootstraps", "60", "--random_state", "1", "--top_n", "100", "--n_cpus", "1"]
NASTY = "<img src=x onerror=alert(1)>&\"'"


def master():
    return nbformat.read(ROOT / "nbs" / "master" / MASTER, as_version=4)


def kernels_of(pid: int) -> list[int]:
    "Children of a process that are kernels."
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout.splitlines()[1:]
    return [int(line.split()[0]) for line in found if int(line.split()[1]) == pid and "ipykernel" in line]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    "The same run with the notebook and without."
    place = tmp_path_factory.mktemp("pair")
    tables = write_tables(place, *small_tables(names=("P", NASTY, "A", "B", "C", "D")))
    argv = [RUN, *tables, "--perturbed_tf", "P", *QUICK]
    assert main([*argv, "--output_dir", str(place / "with")]) == 0
    assert main([*argv, "--output_dir", str(place / "without"), "--no_report"]) == 0
    return place / "with" / "P", place / "without" / "P"


@pytest.fixture(scope="module")
def empty_run(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("empty")
    response, predictors = small_tables()
    response["P"] = np.random.RandomState(3).normal(size=len(response))
    argv = [RUN, *write_tables(place, response, predictors), "--perturbed_tf", "P", *QUICK, "--all_data_ci_level", "99.9"]
    assert main([*argv, "--output_dir", str(place / "out")]) == 0
    return place / "out" / "P"


# --- the notebook


def test_parameters_are_the_options_of_a_run():
    given = parameters_of(master())
    assert list(given.items()) == [*Config().to_dict().items(), *NOTEBOOK_ONLY.items()]
    source = master().cells[tagged(master(), "parameters")[0]].source
    for f in dataclasses.fields(Config):
        kind = "str" if f.type.startswith("tuple") else f.type
        assert f"# {f.metadata['help']}\n{f.name}: {kind} = " in source


def test_shipped_notebook_is_the_one_of_the_source():
    shipped = ROOT / "tfbpmodeling" / "notebooks" / MASTER
    assert shipped.read_bytes() == (ROOT / "nbs" / "master" / MASTER).read_bytes(), "make export"
    assert (ROOT / "nbs" / "master" / ".notest").exists()


def test_same_numbers_with_and_without_the_notebook(pair):
    ours, plain = ({n: c for n, c in files_of(p).items() if not n.endswith(".log") and n != "run.json"} for p in pair)
    assert set(ours) - set(plain) == {"report.html", "report.ipynb"} and not set(plain) - set(ours)
    assert [n for n in plain if plain[n] != ours[n]] == []
    a, b = (json.loads((p / "run.json").read_text()) for p in pair)
    assert all(a[k] == b[k] for k in ("verdict", "counts", "outcomes", "warnings", "seed", "survivors"))


def test_the_log_holds_the_lines_of_the_kernel(pair):
    log = next(pair[0].glob("*.log")).read_text()
    assert "stage 4" in log and "strata of" in log and not list(pair[0].glob(".*"))


def test_report_again_gives_the_same_page_without_unpickling(pair, monkeypatch, tmp_path, capsys):
    copied = tmp_path / "P"
    shutil.copytree(pair[0], copied)
    for pickle in copied.rglob("*.pkl"):
        pickle.write_bytes(b"not a pickle")
    before = (copied / "report.html").read_text()
    (copied / "report.html").unlink()
    assert main(["report", str(copied)]) == 0 and "report.html" in capsys.readouterr().out
    assert (copied / "report.html").read_text() == before
    assert main(["report", str(tmp_path)]) == 2


def test_executed_notebook_says_nothing_of_the_machine(pair):
    notebook = nbformat.read(pair[0] / "report.ipynb", as_version=4)
    injected = notebook.cells[tagged(notebook, "injected-parameters")[0]].source
    assert 'run_folder = ""' in injected and 'stored_run = "."' in injected and "papermill" not in notebook.metadata
    assert ".partial-" not in (pair[0] / "report.ipynb").read_text() and ".partial-" not in (pair[0] / "report.html").read_text()


def test_log_and_progress_of_the_kernel_reach_the_command(tmp_path, caplog):
    steps = []
    with caplog.at_level("INFO", "tfbpmodeling"), handed_over(tmp_path, lambda *step: steps.append(step)):
        step = hand_over(str(tmp_path))
        logging.getLogger("tfbpmodeling").handlers.pop().emit(logging.makeLogRecord({"msg": "said %d", "args": (3,), "levelno": 20}))
        for label, total, done in (("stage 2", 5, 3), ("stage 2", 5, 2), ("stage 4", 5, 5)):
            step(label, total, done)
    assert steps == [("stage 2", 5, 3), ("stage 2", 5, 2), ("stage 4", 5, 5)]
    assert caplog.messages == ["said 3"] and not list(tmp_path.iterdir())
    assert hand_over("") is None and hand_over(str(tmp_path)) is None


def test_a_failing_cell_leaves_the_page_so_far(tmp_path, capsys):
    notebook = master()
    at = next(i for i, c in enumerate(notebook.cells) if "fit_best_model(" in c.source and c.cell_type == "code")
    notebook.cells[at].source = "raise ZeroDivisionError('<b>broken</b>')"
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    tables = write_tables(tmp_path, *small_tables())
    argv = [RUN, *tables, "--perturbed_tf", "P", *QUICK, "--output_dir", str(tmp_path / "out"), "--notebook", str(tmp_path / "mine.ipynb")]
    assert main(argv) == 1
    failed, said = tmp_path / "out" / "P.failed", capsys.readouterr().err
    assert (
        "ZeroDivisionError" in said and f"is in {failed} (notebook_changes.diff, report.html, report.ipynb, run.json, tfbpmodeling_" in said
    )
    page, run = (failed / "report.html").read_text(), json.loads((failed / "run.json").read_text())
    assert "the run failed" in page and "ZeroDivisionError: &lt;b&gt;broken" in page and "<b>broken" not in page
    assert "2 All genes" in page and page.count("<figure>") >= 5
    assert run["status"] == "failed" and "ZeroDivisionError" in run["error"] and "Traceback" in next(failed.glob("*.log")).read_text()
    assert not list(failed.glob(".*"))


def test_a_changed_notebook_is_named_as_changed(tmp_path):
    assert notebook_changes(master()) == ""
    notebook = master()
    at = next(i for i, c in enumerate(notebook.cells) if c.source.endswith("stage_block(topn, data)"))
    notebook.cells[at].source += "  # <mine>"
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    tables = write_tables(tmp_path, *small_tables())
    argv = [RUN, *tables, "--perturbed_tf", "P", *QUICK, "--output_dir", str(tmp_path / "out"), "--notebook", str(tmp_path / "mine.ipynb")]
    assert main(argv) == 0
    folder = tmp_path / "out" / "P"
    assert json.loads((folder / "run.json").read_text())["notebook_changed"] is True
    assert "+stage_block(topn, data)  # <mine>" in (folder / "notebook_changes.diff").read_text()
    assert "+stage_block(topn, data)  # &lt;mine&gt;" in (folder / "report.html").read_text()


SPOILED = {
    "lacks top_n": lambda s: s.replace("top_n: int = 600", ""),
    "'topn' is no option": lambda s: s + "\ntopn = 3",
    "plain parameters cell": lambda s: s + "\ntop_n = int(3)",
}


@pytest.mark.parametrize("says", [*SPOILED, "not a notebook", "cannot be read"])
def test_a_bad_notebook_is_one_clear_sentence(tmp_path, capsys, says):
    path = tmp_path / "mine.ipynb"
    if says in SPOILED:
        notebook = master()
        cell = notebook.cells[tagged(notebook, "parameters")[0]]
        cell.source = SPOILED[says](cell.source)
        nbformat.write(notebook, path)
    elif says == "not a notebook":
        path.write_text("hello")
    tables = write_tables(tmp_path, *small_tables())
    assert main([RUN, *tables, "--perturbed_tf", "P", *QUICK, "--output_dir", str(tmp_path / "out"), "--notebook", str(path)]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_input_error_inside_the_notebook_is_still_the_users(tmp_path, capsys):
    notebook = master()
    notebook.cells.insert(8, nbformat.v4.new_code_cell("from tfbpmodeling.config import InputError\nraise InputError('no such batch')"))
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    tables = write_tables(tmp_path, *small_tables())
    argv = [RUN, *tables, "--perturbed_tf", "P", *QUICK, "--output_dir", str(tmp_path / "out"), "--notebook", str(tmp_path / "mine.ipynb")]
    assert main(argv) == 2 and "no such batch" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_master_notebook_of_version_0_1_0_still_runs(tmp_path, pair):
    "Changed copies that users keep import 33 names by module path; unchanged, the notebook gives the files of today's."
    tables = [str(pair[0].parents[1] / f"{name}.csv") for name in ("response", "predictors")]
    files = ["--response_file", tables[0], "--predictors_file", tables[1]]
    old = ROOT / "tests" / "data" / "run_report_0.1.0.ipynb"
    assert main([RUN, *files, "--perturbed_tf", "P", *QUICK, "--output_dir", str(tmp_path / "old"), "--notebook", str(old)]) == 0
    ours, then = (
        {n: c for n, c in files_of(run).items() if n.endswith((".csv", ".png", ".svg", ".pkl"))}
        for run in (pair[0], tmp_path / "old" / "P")
    )
    assert ours.keys() == then.keys() and [n for n in ours if ours[n] != then[n]] == []
    assert read_run(tmp_path / "old" / "P").verdict == read_run(pair[0]).verdict


def test_notebook_hands_out_a_copy(tmp_path, capsys):
    path = tmp_path / "mine.ipynb"
    assert main(["notebook", "--output", str(path)]) == 0 and path.read_bytes() == (ROOT / "nbs" / "master" / MASTER).read_bytes()
    assert main(["notebook", "--output", str(path)]) == 2 and "exists" in capsys.readouterr().err


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_the_kernel_too(tmp_path, name, status):
    tables, out = write_tables(tmp_path, *small_tables()), tmp_path / "out"
    argv = [sys.executable, "-m", "tfbpmodeling", RUN, *tables, "--perturbed_tf", "P", "--output_dir", str(out), *QUICK]
    run = subprocess.Popen(
        [*argv, "--n_bootstraps", "200000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in run.stderr:
        if b"strata of" in line:
            break
    kernels = kernels_of(run.pid)
    run.send_signal(getattr(signal, name))
    assert run.wait(timeout=60) == status and len(kernels) == 1
    for _ in range(50):
        alive = [k for k in kernels if Path(f"/proc/{k}").exists()]
        if not alive:
            break
        time.sleep(0.1)
    assert not alive and [p.name for p in out.iterdir()] == ["P.failed"]
    assert json.loads((out / "P.failed" / "run.json").read_text())["status"] == "interrupted"


# --- the page


def test_the_page_needs_nothing_and_escapes_names(pair):
    page = (pair[0] / "report.html").read_text()
    assert page.count("<script") == 1 and not any(word in page for word in ("fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval("))
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", markup) and "@import" not in page and "url(" not in page
    assert "<button" not in markup and "onclick" not in markup
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert (
        all('alt="' in image for image in re.findall(r"<img [^>]*>", page)) and page.count("<figcaption>") == page.count("<figure>") >= 12
    )


def test_the_first_screen_says_what_was_found(pair):
    page, run = (pair[0] / "report.html").read_text(), read_run(pair[0])
    head = page[: page.index("<nav")]
    assert "P:TF" in head and "beyond main effects" in head and "seed</b> 1" in head and "response.csv" in head
    assert all(f">{term[2:]}</td>" in head for term in run.survivors if term != f"P:{NASTY}")


def test_the_page_of_an_empty_run(empty_run):
    page = (empty_run / "report.html").read_text()
    assert "No term of P is significant" in page and "came nearest" in page and "did not run" in page and "Traceback" not in page
    assert pd.read_csv(empty_run / "interactor_significance" / "robust_fits.csv").empty


SORTED = """<script>addEventListener('load', async () => {
  const wrong = [], say = (ok, what) => { if (!ok) wrong.push(what) }, number = (text) => parseFloat(text.replaceAll('−', '-').replaceAll(',', '').replace('∞', '1e999'));
  const tables = [...document.querySelectorAll('table.sortable')];
  for (const table of tables) {
    const rows = () => [...table.tBodies[0].rows], words = () => rows().map(row => row.textContent).sort().join();
    const before = words(), name = table.textContent.slice(0, 40);
    [...table.tHead.rows[0].cells].forEach((th, k) => {
      th.querySelector('button').click();
      const numeric = th.getAttribute('aria-sort') === 'descending';
      let keys = rows().map(row => numeric ? number(row.cells[k].textContent) : row.cells[k].textContent.trim());
      if (numeric) keys = keys.filter(v => !Number.isNaN(v)).reverse();
      const after = (a, b) => numeric ? a <= b : a.localeCompare(b, undefined, {numeric: true, sensitivity: 'base'}) <= 0;
      say(keys.every((v, i) => !i || after(keys[i - 1], v)), `${name} by column ${k}: ${keys}`);
    });
    say(words() === before, name + ' lost rows');
  }
  const links = [...document.querySelectorAll('nav a')], last = document.getElementById(links.at(-1).hash.slice(1));
  const here = () => links.filter(a => a.hasAttribute('aria-current')).map(a => a.textContent);
  say(here().length === 0, 'a section is current at the top: ' + here());
  scrollTo(0, document.documentElement.scrollHeight); dispatchEvent(new Event('scroll'));
  say(here().join() === links.at(-1).textContent, 'at the end, current is ' + here());
  document.getElementById(links[1].hash.slice(1)).scrollIntoView(); dispatchEvent(new Event('scroll'));
  say(here().join() === links[1].textContent, 'at the second section, current is ' + here());
  say(document.querySelector('nav').getBoundingClientRect().top === 0, 'the links did not follow');
  document.querySelectorAll('h2').forEach(h => say(document.getElementById(h.querySelector('a.anchor')?.hash.slice(1))?.contains(h), 'no anchor: ' + h.textContent));
  const all = [...document.images];
  document.title = JSON.stringify({wrong, tables: tables.length, images: all.length, broken: all.filter(i => !i.naturalWidth).length,
    fetched: performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length,
    wide: document.documentElement.scrollWidth - innerWidth});
})</script>"""


@pytest.mark.browser
@pytest.mark.parametrize("which, width", [("rich", 1280), ("empty", 500)])
def test_the_page_in_a_browser_without_network(pair, empty_run, which, width):
    page = (pair[0] if which == "rich" else empty_run) / "report.html"
    seen = looked_at(page, SORTED, width)
    assert seen["wrong"] == [] and seen["broken"] == seen["fetched"] == 0 and seen["wide"] <= 0, seen
    assert seen["images"] >= 8 and seen["tables"] >= (2 if which == "empty" else 0), seen


@pytest.mark.browser
@pytest.mark.parametrize("which, width, dark", [("rich", 1280, False), ("empty", 500, True)])
def test_the_page_keeps_nobody_out(pair, empty_run, which, width, dark):
    assert_accessible((pair[0] if which == "rich" else empty_run) / "report.html", width, dark)


@pytest.mark.browser
def test_what_keeps_people_out_is_seen(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<html lang="en"><title>x</title><body><main><h1>x</h1><p style="color: #aaa">grey</p><img src="data:,"></main></body></html>'
    )
    with pytest.raises(AssertionError, match="image-alt.*color-contrast|color-contrast.*image-alt"):
        assert_accessible(page)


@pytest.mark.browser
def test_long_names_never_widen_the_page(pair, tmp_path):
    names = [f"{'TF' * 20}{i:03d}" for i in range(200)]
    table = block_table(
        pd.DataFrame({"factor": names, "x": np.arange(200) / 7, "all of them": [",".join(names)] * 200}), "Long names.", most=200
    )
    page = tmp_path / "long.html"
    verdict = f'<p class="verdict">{",".join(names)}</p>'
    page.write_text((pair[0] / "report.html").read_text().replace("<main>", f"<main>{verdict}{table.html}"))
    seen = looked_at(page, "<script>addEventListener('load', () => { document.title = JSON.stringify({"
                     "wide: document.documentElement.scrollWidth - innerWidth, searched: !!document.querySelector('.find input')}) })</script>", 500)  # fmt: skip
    assert seen["wide"] <= 0 and seen["searched"], seen


# --- honest words


def test_hc3_by_the_sandwich_formula():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(80), rng.lognormal(size=(80, 4))])
    y = X @ [1, 0.5, 0, -0.2, 0] + rng.normal(size=80) * X[:, 1]
    bread = np.linalg.inv(X.T @ X)
    beta = bread @ X.T @ y
    e, h = y - X @ beta, np.einsum("ij,jk,ik->i", X, bread, X)
    cov = bread @ (X.T * (e / (1 - h)) ** 2) @ X @ bread
    from scipy.stats import t

    half = t.ppf(0.975, 75) * np.sqrt(cov[1, 1])
    np.testing.assert_allclose(hc3_interval(X[:, 1], X[:, 2:], y), [beta[1], beta[1] - half, beta[1] + half], rtol=1e-9)


def test_hc3_where_columns_depend_on_each_other():
    rng = np.random.default_rng(1)
    x, z, y = rng.normal(size=(3, 50))
    np.testing.assert_allclose(hc3_interval(x, np.column_stack([z, 2 * z, z * 0]), y)[0], hc3_interval(x, z[:, None], y)[0])
    assert np.isnan(hc3_interval(3 * z + 1, z[:, None], y)).all()
    one = np.eye(50)[0]
    assert hc3_interval(one, np.empty((50, 0)), y)[1:] == (-np.inf, np.inf)


def test_a_bent_main_effect_is_not_called_an_interaction():
    rng = np.random.default_rng(4)
    ptf = rng.lognormal(size=800)
    binding = pd.DataFrame({"P": ptf, "T": ptf * rng.lognormal(0, 0.5, 800)}, index=[f"g{i}" for i in range(800)])
    truth = {False: np.log1p(ptf), True: 0.3 * binding["P"] * binding["T"]}
    for real, signal_ in truth.items():
        data = make_modeling_data(pd.DataFrame({"P": signal_ + rng.normal(0, 0.5, 800)}, index=binding.index), binding, "P")
        row = robust_fits(data, ("P:T",), Config()).iloc[0]
        assert row["low_alone"] > 0 and row["beyond_main_effects"] == real
