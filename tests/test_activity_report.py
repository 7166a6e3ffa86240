"""The command motif_activity: what it reads, refuses, writes and shows."""

import contextlib
import dataclasses
import json
import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.activity.activity_figures import activity_figures, activity_heatmap, condition_axis
from tfbpmodeling.activity.activity_report import ACTIVITY_MASTER, motif_activity_to_directory
from tfbpmodeling.activity.activity_result import (
    MotifActivityConfig,
    load_activity_tables,
    make_activity_tables,
    motif_activity,
    movement,
)
from tfbpmodeling.activity.activity_simulation import ActivityConfig, load_simulation, save_simulation, simulate_activity
from tfbpmodeling.artifacts import read_run
from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.modeling_data import EXACT
from tfbpmodeling.notebook_runner import master_notebook, parameters_of

FILES = """activity.csv activity_sd.csv activity_cov.csv noise_cov.csv model_selection.csv run.json ridge_activity.csv tf_summary.csv
    explained.csv eigenvalues.csv""".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    "Tables of a small simulation, with their truth."
    made = simulate_activity(ActivityConfig(n_genes=250, n_tfs=40, n_conditions=5, signal_fraction=0.4, activity_cov="lowrank_2"))
    return made, save_simulation(made, tmp_path_factory.mktemp("data")).with_suffix("")


@pytest.fixture
def undrawn(monkeypatch):
    "Runs without figures, where the test does not look at them."
    monkeypatch.setattr("tfbpmodeling.activity.activity_report.activity_figures", lambda result: [])


def words(folder, out, *more):
    "The command's words."
    tables = ["--response_file", str(folder / "response.csv"), "--predictors_file", str(folder / "predictors.csv")]
    return ["motif_activity", *tables, "--output_dir", str(out), *more]


def config(folder, **options):
    return MotifActivityConfig(response_file=str(folder / "response.csv"), predictors_file=str(folder / "predictors.csv"), **options)


def read(folder, name):
    return pd.read_csv(folder / f"{name}.csv", index_col=0, **EXACT)


# ---- what is written ------------------------------------------------------------------------------------


def test_files_of_a_run(tmp_path, data, capsys):
    made, folder = data
    assert main(words(folder, tmp_path / "out", "--no_report")) == 0
    out = tmp_path / "out"
    assert set(FILES) <= {p.name for p in out.iterdir()} and not (out / "report.html").exists()
    tfs, conditions = made.params["tfs"], made.params["conditions"]
    activity, sd = read(out, "activity"), read(out, "activity_sd")
    assert list(activity.index) == tfs and list(activity.columns) == conditions and activity.index.name == "tf"
    assert list(sd.index) == tfs and (sd > 0).all(axis=None)
    V, noise = read(out, "activity_cov"), read(out, "noise_cov")
    assert list(V.index) == list(noise.columns) == conditions and np.linalg.eigvalsh(noise).min() > 0
    selection = pd.read_csv(out / "model_selection.csv")
    assert selection["chosen"].sum() == 1 and selection["aic"].is_monotonic_increasing and len(selection) == 6
    facts = json.loads((out / "run.json").read_text())
    assert facts["status"] == "done" and facts["command"] == "motif_activity" and facts["counts"]["conditions"] == 5
    assert [i["option"] for i in facts["inputs"]] == ["response_file", "predictors_file"] and facts["verdict"] in capsys.readouterr().out
    B = made.beta_of(0) * made.params["motif"].std(axis=0)[:, None]
    assert facts["truth"]["correlation"] == pytest.approx(np.corrcoef(activity.to_numpy().ravel(), B.ravel())[0, 1], abs=1e-9)
    assert facts["truth"]["correlation"] > facts["truth"]["ridge_correlation"]
    assert {p.suffix for p in (out / "plots").iterdir()} == {".png", ".svg"} and len(list((out / "plots").iterdir())) == 12


def test_the_summary_says_what_the_tables_say(data):
    _, folder = data
    result = motif_activity(config(folder))
    table = result.summary.set_index("tf")
    B, sd = result.activity, result.sd
    by_hand = B.sub(B.mean(axis=1), axis=0).pow(2).mean(axis=1) ** 0.5
    assert np.allclose(table["movement"], by_hand) and table["rank"].idxmin() == by_hand.idxmax() == movement(B).idxmax()
    z = (B / sd).abs()
    assert (table["strongest_condition"] == z.idxmax(axis=1)).all() and np.allclose(table["z_there"].abs(), z.max(axis=1))
    assert (table["n_clear"] == (z > result.z_limit).sum(axis=1)).all() and table["n_clear"].sum() > 0
    assert list(table.index) == list(B.index)


def test_numbers_depend_on_neither_threads_nor_row_order(tmp_path, data, undrawn):
    _, folder = data
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for i, name in enumerate(("response.csv", "predictors.csv")):
        pd.read_csv(folder / name, index_col=0, **EXACT).sample(frac=1, random_state=i).to_csv(mixed / name)
    a, _ = motif_activity_to_directory(config(folder, output_dir=str(tmp_path / "a"), no_report=True))
    b, _ = motif_activity_to_directory(config(mixed, output_dir=str(tmp_path / "b"), no_report=True, n_cpus=3))
    assert all((a / name).read_bytes() == (b / name).read_bytes() for name in FILES if name != "run.json")


def test_the_page(tmp_path, data, capsys):
    _, folder = data
    (tmp_path / "names.csv").write_text("id,name\nXAB1,<b>MBP1</b>\n")
    assert main(words(folder, tmp_path / "out", "--gene_names", str(tmp_path / "names.csv"))) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "report.html" in capsys.readouterr().out
    verdict = json.loads((tmp_path / "out" / "run.json").read_text())["verdict"]
    assert verdict in page and page.index(verdict) < page.index("<nav") and page.count("<img") == 6
    assert (
        page.count("<script>") == 1
        and "<script " not in page
        and not re.search(r'(src|href)="(?!data:|#)', page)
        and "<b>MBP1</b>" not in page
    )
    assert "correlation with them" in page and ".partial-" not in page + (tmp_path / "out" / "report.ipynb").read_text()
    assert set(FILES) <= {p.name for p in (tmp_path / "out").iterdir()}
    log = next((tmp_path / "out").glob("*.log")).read_text()
    assert "250 genes, 40 TFs, 5 conditions" in log


def test_parameters_of_the_notebook_are_the_options():
    notebook = nbformat.reads(master_notebook(ACTIVITY_MASTER), as_version=4)
    expected = {f.name: f.default for f in dataclasses.fields(MotifActivityConfig)} | {"run_folder": ""}
    assert parameters_of(notebook) == expected
    source = "\n".join(c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    assert all(f"# {f.metadata['help']}\n{f.name}:" in source for f in dataclasses.fields(MotifActivityConfig))


# ---- a changed notebook ---------------------------------------------------------------------------------


def test_a_changed_notebook_is_run_and_said(tmp_path, data):
    _, folder = data
    mine = tmp_path / "mine.ipynb"
    assert main(["notebook", "--command", "motif_activity", "--output", str(mine)]) == 0
    notebook = nbformat.read(mine, as_version=4)
    notebook.cells.insert(-1, nbformat.v4.new_code_cell('(Path(run_folder) / "mine.txt").write_text("a cell of <mine>")'))
    nbformat.write(notebook, mine)
    assert main(words(folder, tmp_path / "out", "--notebook", str(mine), "--method", "ridge", "--noise_cov", "id")) == 0
    out = tmp_path / "out"
    facts = json.loads((out / "run.json").read_text())
    assert facts["notebook_changed"] is True and facts["parameters"]["noise_cov"] == "identity" and facts["status"] == "done"
    assert (out / "mine.txt").read_text() == "a cell of <mine>" and "a cell of <mine>" in (out / "notebook_changes.diff").read_text()
    page = (out / "report.html").read_text()
    assert f"This page was made by the notebook {mine}." in page and "a cell of &lt;mine&gt;" in page and "a cell of <mine>" not in page


def test_an_unchanged_copy_is_the_master_notebook(tmp_path, data, capsys):
    _, folder = data
    mine = tmp_path / "mine.ipynb"
    main(["notebook", "--command", "motif_activity", "--output", str(mine)])
    assert main(words(folder, tmp_path / "out", "--notebook", str(mine), "--method", "ridge")) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["notebook_changed"] is False
    assert not (tmp_path / "out" / "notebook_changes.diff").exists()
    assert "made by the notebook" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    "more, says",
    [
        (["--notebook", "none.ipynb"], "--notebook none.ipynb cannot be read"),
        (["--notebook", "main.ipynb"], "tfbpmodeling notebook --command motif_activity"),
        (["--notebook", "main.ipynb", "--no_report"], "leave out --no_report"),
    ],
)
def test_a_notebook_that_does_not_fit_is_one_sentence(tmp_path, data, capsys, monkeypatch, more, says):
    _, folder = data
    monkeypatch.chdir(tmp_path)
    main(["notebook", "--output", "main.ipynb"])
    assert main(words(folder, tmp_path / "out", *more)) == 2
    err = capsys.readouterr().err
    assert says in err and "Traceback" not in err and [p.name for p in tmp_path.iterdir()] == ["main.ipynb"]


# ---- methods ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ridge", "mixed", "auto"])
@pytest.mark.parametrize("init", ["default", "truth", "jitter"])
def test_methods_and_starts(data, method, init):
    _, folder = data
    result = motif_activity(config(folder, method=method, init=init, random_state=3))
    assert result.is_ridge == (method == "ridge") and result.fit.chosen.converged
    default = motif_activity(config(folder, method=method))
    assert np.allclose(result.activity, default.activity, atol=1e-3) and result.fit.chosen.noise_cov == default.fit.chosen.noise_cov


def test_truth_is_needed_to_start_there(tmp_path, data):
    _, folder = data
    for name in ("response.csv", "predictors.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="--init truth needs"):
        motif_activity(config(tmp_path, init="truth"))


def test_scaling_of_predictors_changes_the_unit(data):
    _, folder = data
    ridge = {s: motif_activity(config(folder, method="ridge", scale_predictors=s)) for s in ("none", "max", "std")}
    M = pd.read_csv(folder / "predictors.csv", index_col=0)
    assert np.allclose(ridge["std"].tables.predictors.std(ddof=0), 1) and np.allclose(ridge["max"].tables.predictors.max(), 1)
    assert np.allclose(ridge["none"].tables.predictors.sort_index(), M.sort_index())


# ---- what real tables hold -----------------------------------------------------------------------------------


def frames(G=60, T=5, C=3, seed=0):
    rng = np.random.default_rng(seed)
    genes = [f"g{i:03d}" for i in range(G)]
    response = pd.DataFrame(rng.standard_normal((G, C)), genes, [f"t_{i}" for i in range(C)])
    return response, pd.DataFrame(rng.random((G, T)), genes, [f"TF{i}" for i in range(T)])


def test_missing_values_are_dropped_and_counted_or_refused():
    response, predictors = frames()
    response.iloc[3, 1], predictors.iloc[7, 2] = np.nan, np.inf
    tables = make_activity_tables(response, predictors)
    assert len(tables.response) == 58 and tables.dropped["missing values"] == ("g003", "g007")
    with pytest.raises(InputError, match="no value in row 4"):
        make_activity_tables(response, predictors, missing="error")


def test_constant_and_copied_factors():
    response, predictors = frames()
    predictors["flat"], predictors["copy"] = 2.0, predictors["TF1"]
    tables = make_activity_tables(response, predictors)
    assert tables.constant == ("flat",) and list(tables.predictors.columns) == ["TF0", "TF1", "TF2", "TF3", "TF4", "copy"]
    assert any("'flat'" in w for w in tables.warnings) and any("cannot be told apart" in w and "'copy'" in w for w in tables.warnings)
    result = motif_activity(MotifActivityConfig(), tables)
    assert np.allclose(result.activity.loc["copy"], result.activity.loc["TF1"])


@pytest.mark.parametrize("G, T, C", [(60, 5, 1), (40, 90, 3), (12, 4, 6), (60, 5, 2), (300, 4, 45)])
def test_awkward_shapes_give_a_result_and_all_figures(G, T, C):
    tables = make_activity_tables(*frames(G, T, C))
    result = motif_activity(MotifActivityConfig(), tables)
    assert np.isfinite(result.activity).all(axis=None) and np.isfinite(result.summary["movement"]).all()
    names = [figure.name for figure in activity_figures(result) if figure.figure.axes]
    assert len(names) == (3 if C == 1 else 6)


def bad(edit):
    response, predictors = frames()
    edited = edit(response, predictors)
    return edited if edited is not None else (response, predictors)


BAD = {
    "text in the response": (lambda r, p: (r.assign(note="abc"), p), "'note' of response table holds text"),
    "text in the predictors": (lambda r, p: (r, p.assign(x="abc")), "'x' of predictors table holds text"),
    "no gene in common": (lambda r, p: (r.rename(index=str.upper), p), "no gene in common"),
    "constant condition": (lambda r, p: (r.assign(t_1=1.0), p), "'t_1' of response table has the same value"),
    "constant factors": (lambda r, p: (r, p * 0), "every column of predictors table is constant"),
    "few genes": (lambda r, p: (r.iloc[:8], p), "only 8 genes"),
    "a number without a square": (
        lambda r, p: (r.assign(t_1=r["t_1"].where(r.index != "g003", 1e300)), p),
        "'t_1' of response table holds 1e+300 for gene 'g003'",
    ),
    "numbers without squares": (lambda r, p: (r * 1e300, p), "beyond 1e+100 cannot be squared"),
    "factors without squares": (lambda r, p: (r, p * 1e300), "of predictors table holds"),
    "a response below floating point": (lambda r, p: (r * 1e-300, p), "'t_0' of response table varies by"),
    "factors below floating point": (lambda r, p: (r, p * 1e-300), "'TF0' of predictors table varies by"),
    "an empty condition": (lambda r, p: (r.assign(t_1=np.nan), p), "every one of the 60 genes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_one_sentence(case):
    edit, says = BAD[case]
    with pytest.raises(InputError) as error:
        make_activity_tables(*edit(*frames()))
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("power", [-98, -30, 30, 98])
def test_any_unit_within_the_limits_gives_the_same_answer(power):
    response, predictors = frames()
    plain = motif_activity(MotifActivityConfig(), make_activity_tables(response, predictors))
    large = motif_activity(MotifActivityConfig(), make_activity_tables(response * 10.0**power, predictors * 10.0**-power))
    assert large.pair == plain.pair and large.is_ridge == plain.is_ridge
    assert np.allclose(large.activity * 10.0**-power, plain.activity, rtol=1e-3, atol=1e-4)


def test_a_truth_that_does_not_fit_the_tables_is_left_alone(tmp_path, data):
    _, folder = data
    for name in ("response.csv", "truth.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    table = pd.read_csv(folder / "predictors.csv", index_col=0)
    table.assign(NEW=np.linspace(0, 1, len(table)) ** 2).to_csv(tmp_path / "predictors.csv")
    assert motif_activity(config(tmp_path, method="ridge")).truth is None
    (tmp_path / "predictors.csv").write_bytes((folder / "predictors.csv").read_bytes())
    assert motif_activity(config(tmp_path, method="ridge")).truth is not None
    for broken in ('{"model": "activity"}', '{"model": "activity", "activity": "x", "activity_cov": 1, "noise_cov": 2}', "[]"):
        (tmp_path / "truth.json").write_text(broken)
        assert motif_activity(config(tmp_path, method="ridge")).truth is None


def test_what_is_left_out_is_said_in_words(tmp_path, data, capsys):
    _, folder = data
    (tmp_path / "predictors.csv").write_bytes((folder / "predictors.csv").read_bytes())
    pd.read_csv(folder / "response.csv", index_col=0).iloc[3:].to_csv(tmp_path / "response.csv")
    assert main(words(tmp_path, tmp_path / "out", "--no_report", "--method", "ridge")) == 0
    err = capsys.readouterr().err
    assert "left out: 3 genes (only in predictors)" in err and "{" not in err


def test_conditions_on_an_axis():
    x, label = condition_axis(pd.Index(["cdc15_10", "cdc15_30", "cdc15_50"]))
    assert list(x) == [10, 30, 50] and "cdc15_10" in label
    for names in (["b_30", "b_10"], ["heat", "cold"], ["a_1", "b_2"], ["one"]):
        assert list(condition_axis(pd.Index(names))[0]) == list(range(1, len(names) + 1))


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more, says",
    [
        (["--method", "lasso"], "--method lasso"),
        (["--activity_cov", "freefrom"], "Did you mean 'freeform'"),
        (["--activity_cov", "lowrank_9"], "lowrank_1 to lowrank_5"),
        (["--noise_cov", "block"], "--noise_cov block"),
        (["--init", "best"], "--init best"),
        (["--ridge_penalty", "cv"], "--ridge_penalty cv"),
        (["--n_cpus", "0"], "--n_cpus 0"),
        (["--gene_names", "no.csv"], "no.csv"),
        (["--blacklist_file", "x"], "unknown option --blacklist_file"),
    ],
)
def test_bad_options_are_one_sentence_and_leave_nothing(tmp_path, data, capsys, more, says):
    _, folder = data
    try:
        status = main(words(folder, tmp_path / "deep" / "out", "--no_report", *more))
    except SystemExit as e:
        status = e.code
    err = capsys.readouterr().err
    assert status == 2 and says in err and "Traceback" not in err and not (tmp_path / "deep").exists()


def test_a_folder_is_replaced_only_when_told(tmp_path, data, capsys, undrawn):
    _, folder = data
    out = tmp_path / "out"
    out.mkdir()
    assert main(words(folder, out, "--no_report", "--method", "ridge")) == 0  # an empty folder is as good as none
    before = (out / "activity.csv").read_bytes()
    assert main(words(folder, out, "--no_report")) == 2 and "--overwrite" in capsys.readouterr().err
    assert (out / "activity.csv").read_bytes() == before
    assert main(words(folder, out, "--no_report", "--overwrite")) == 0 and (out / "activity.csv").read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert main(words(folder, tmp_path / "mine", "--no_report", "--overwrite")) == 2
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("where", [".", "", "../here"])
def test_results_never_replace_the_folder_one_stands_in(tmp_path, data, capsys, monkeypatch, where):
    _, folder = data
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SystemExit) if not where else contextlib.nullcontext():  # an empty name is an error of the words
        assert main(words(folder, where, "--no_report")) == 2
    err = capsys.readouterr().err
    assert "--output_dir" in err and "Traceback" not in err and (tmp_path / "here").is_dir() and not any((tmp_path / "here").iterdir())


def test_a_failure_of_ours_keeps_what_was_done(tmp_path, data, capsys, monkeypatch):
    import tfbpmodeling.activity.activity_result as module

    _, folder = data
    with monkeypatch.context() as m:
        m.setattr(module, "fit_motif_activity", lambda *a, **k: 1 / 0)
        assert main(words(folder, tmp_path / "out", "--no_report")) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ["out.failed"]
    facts = json.loads((tmp_path / "out.failed" / "run.json").read_text())
    assert facts["status"] == "failed" and "ZeroDivisionError" in facts["error"] and len(facts["inputs"]) == 2


def test_the_heat_map_shows_sign_and_marks_what_is_clear(data):
    _, folder = data
    result = motif_activity(config(folder))
    _, ax, scale = activity_heatmap(result, most=12).axes
    values = ax.collections[0]
    low, high = values.get_clim()
    assert low == -high == -np.abs(values.get_array()).max() and scale.get_ylabel() == "activity"
    named = [label.get_text() for label in ax.get_yticklabels()]
    assert set(named) == set(result.summary.nsmallest(12, "rank")["tf"])
    shown = result.activity.loc[named].to_numpy()
    assert np.allclose(np.asarray(values.get_array()).reshape(shown.shape), shown)
    z = result.frame(result.fit.activities.z).loc[named].to_numpy()
    clear = {(int(x), int(y)) for x, y in ax.collections[1].get_offsets()}
    assert clear == {(c, r) for r, c in zip(*np.nonzero(np.abs(z) > result.z_limit))} and clear


def test_the_report_command_knows_its_own_runs(tmp_path, data, undrawn):
    _, folder = data
    out, _ = motif_activity_to_directory(config(folder, output_dir=str(tmp_path / "out"), no_report=True, method="ridge"))
    with pytest.raises(InputError, match="motif_activity"):
        read_run(out)


def test_simulate_the_activity_model(tmp_path, capsys, undrawn):
    sizes = ["--n_genes", "60", "--n_tfs", "12", "--n_conditions", "8", "--replicates", "2"]
    assert main(["simulate", "--model", "activity", "--activity_cov", "document", "--output_dir", str(tmp_path), *sizes]) == 0
    stored = sorted(tmp_path.glob("*.npz"))
    assert [re.search("_V_(.*)_rep", p.name)[1] for p in stored] == ["freeform", "identity", "lowrank_2", "lowrank_4"]
    assert len(capsys.readouterr().out.splitlines()) == 4 and load_simulation(stored[0]).Y.shape == (480, 2)
    assert main(words(stored[0].with_suffix(""), tmp_path / "out", "--no_report")) == 0
    assert main(["simulate", "--model", "activity", "--output_dir", str(tmp_path), "--falloff", "0.5"]) == 2
    assert "--falloff is no option of --model activity" in capsys.readouterr().err
    assert main(["simulate", "--output_dir", str(tmp_path / "x"), "--replicates", "3"]) == 2 and not (tmp_path / "x").exists()


def test_help_groups_the_options(capsys):
    for command, flags in (
        ("motif_activity", "--method --activity_cov --init --missing"),
        ("simulate", "--model --n_conditions --falloff"),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert all(flag in text for flag in flags.split()) and text.count("the activity model:") == 1 and "example:" in text


# ---- real tables ------------------------------------------------------------------------------------------------------


CELL_CYCLE = dict(MBP1="YDL056W", FKH2="YNL068C", NDD1="YOR372C", SWI6="YLR182W", SWI4="YER111C", MCM1="YMR043W", SWI5="YDR146C")


@pytest.fixture(scope="module")
def cell_cycle(shared):
    yeast = shared / "data" / "yeast"
    files = dict(response_file=str(yeast / "response_cell_cycle_cdc15.csv.gz"), predictors_file=str(yeast / "binding.csv.gz"))
    return load_activity_tables(MotifActivityConfig(**files))


@pytest.mark.parametrize("method", ["ridge", "mixed", "auto"])
def test_the_regulators_of_the_cell_cycle_are_found(cell_cycle, method):
    assert len(cell_cycle.response) == 4301 and cell_cycle.dropped["missing values"] and len(cell_cycle.constant) == 1
    result = motif_activity(MotifActivityConfig(method=method), cell_cycle)
    rank = result.summary.set_index("tf")["rank"]
    assert rank["YDL056W"] == 1 and max(rank[tf] for tf in CELL_CYCLE.values()) <= 10
    wave = result.activity.loc["YDL056W"].to_numpy()
    assert (np.diff(np.sign(wave - wave.mean())) != 0).sum() >= 3  # more than one wave
