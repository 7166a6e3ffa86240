"""The study of ridge against the mixed model: its grid, its fits, the folder it leaves, and what survives a kill."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tfbpmodeling.activity.activity_study as engine
from tfbpmodeling.activity.activity_simulation import ActivityConfig, simulate_activity
from tfbpmodeling.activity.activity_study import (
    FACTS,
    MIXED,
    ROW,
    StudyFits,
    activity_grid,
    activity_study,
    gains,
    named_fits,
    stored_block,
    study_blocks,
    study_summary,
)
from tfbpmodeling.activity.activity_study_report import (
    ActivityStudyConfig,
    activity_study_to_directory,
    gains_table,
    noise_name,
    standings,
    study_figures,
    study_fits,
    study_settings,
    study_verdict,
    unfinished,
)
from tfbpmodeling.activity.motif_activity import FitStart, fit_covariances, fit_motif_activity, posterior, rotate
from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.modeling_data import EXACT

TINY = dict(n_genes="60", n_tfs="12", n_conditions="3", activity_cov="identity,lowrank_2", noise_cov="identity", replicates=7)


def words(out, **options):
    "The command's words."
    return ["activity_study", "--output_dir", str(out), *(w for name, value in (TINY | options).items() for w in (f"--{name}", str(value)))]


# ---- the grid ------------------------------------------------------------------------------------------------


def test_the_grid_holds_every_combination_once():
    config = ActivityStudyConfig(
        n_conditions="4,8", n_genes="60", n_tfs="10,20", noise_fraction="0.3,0.7", signal_fraction="0.1,0.2", noise_cov="identity,randomV"
    )
    settings = study_settings(config)
    assert (
        len(settings) == len(set(settings)) == (3 + 4) * 2 * 2 * (1 + 2)
    )  # kinds of V, TFs, signal, noise: the fraction counts where it is used
    assert {s.activity_cov[0] for s in settings if s.n_conditions == 8} == {"identity", "freeform", "lowrank_2", "lowrank_4"}
    assert {(s.noise_cov, s.noise_fraction) for s in settings} == {("identity", 0.7), ("randomV", 0.3), ("randomV", 0.7)}


def test_study_grid_refuses_unknown_options():
    with pytest.raises(InputError, match="no option"):
        activity_grid(ActivityConfig(), {"genes": (1, 2)})


def test_structures_to_fit_are_all_pairs():
    config = ActivityStudyConfig(fit_activity_cov="freeform,lowrank_2,random", fit_noise_cov="random,id,diag", init="jitter")
    pairs = [(v, n) for v in ("freeform", "lowrank_2") for n in ("freeform", "identity", "diagonal")]
    assert study_fits(config) == StudyFits(tuple(pairs), "jitter")


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(n_genes="many"), "--n_genes many: it must be a whole number"),
        (dict(n_genes="5"), "--n_genes 5: it must be from 10"),
        (dict(signal_fraction="0.2,1"), "--signal_fraction 1.0"),
        (dict(noise_fraction=""), "--noise_fraction is empty"),
        (dict(activity_cov=""), "--activity_cov is empty"),
        (dict(activity_cov="lowrank_9"), "lowrank_1 to lowrank_"),
        (dict(noise_cov="identityW"), "--noise_cov identityW"),
        (dict(fit_noise_cov="block"), "--fit_noise_cov block: choose one of identity"),
        (dict(fit_activity_cov="freefrom"), "--fit_activity_cov freefrom"),
        (dict(fit_activity_cov="auto"), "--fit_activity_cov auto: it is fitted in any case"),
        (dict(fit_activity_cov=""), "--fit_activity_cov is empty"),
        (dict(fit_activity_cov="lowrank_9"), "lowrank_1 to lowrank_8"),
        (dict(init="best"), "--init best"),
        (dict(replicates=1), "--replicates 1"),
        (dict(n_active=200), "at most --n_tfs"),
        (dict(motif_file="no_such.csv"), "no_such.csv"),
    ],
)
def test_impossible_options_are_one_sentence_and_leave_nothing(tmp_path, capsys, options, says):
    given = [w for name, value in options.items() for w in (f"--{name}", str(value))]
    assert main(["activity_study", "--output_dir", str(tmp_path / "out"), *given]) == 2
    err = capsys.readouterr().err
    assert says in err and "Traceback" not in err and len(err.splitlines()) <= 2 and not list(tmp_path.iterdir())


# ---- rows ------------------------------------------------------------------------------------------------------


def test_a_row_is_what_a_fit_by_hand_says():
    setting = ActivityConfig(n_genes=80, n_tfs=15, activity_cov="lowrank_2", noise_cov="randomV", replicates=2)
    table = activity_study([setting], fits=StudyFits((("block", "diagonal"),)), progress=False).set_index(["replicate", "method"])
    data = simulate_activity(setting)
    for r in range(2):
        rotated, B = rotate(data.Y_of(r), data.params["motif"]), data.beta_of(r)
        fit = fit_covariances(rotated, "block", "diagonal")
        found = posterior(rotated, fit.V, fit.sigma)
        row = table.loc[(r, "block/diagonal")]
        assert row["correlation"] == pytest.approx(np.corrcoef(found.mean.ravel(), B.ravel())[0, 1], abs=1e-12)
        assert row["rmse"] == pytest.approx(np.sqrt(((found.mean - B) ** 2).mean()))
        assert row["coverage"] == pytest.approx((np.abs(found.mean - B) <= 1.96 * found.sd).mean())
        assert row["chosen"] == "block/diagonal" and row["log_likelihood"] == pytest.approx(fit.log_likelihood)
        ridge = fit_motif_activity(data.Y_of(r), data.params["motif"]).ridge_activities.mean
        assert table.loc[(r, "ridge"), "correlation"] == pytest.approx(np.corrcoef(ridge.ravel(), B.ravel())[0, 1], abs=1e-12)


@pytest.mark.parametrize("init", ["truth", "jitter"])
def test_the_start_of_a_fit_does_not_matter(init):
    setting = ActivityConfig(n_genes=120, n_tfs=30, activity_cov="freeform", replicates=2)
    usual, other = (activity_study([setting], fits=StudyFits(init=how), progress=False) for how in ("default", init))
    assert np.allclose(usual["correlation"], other["correlation"], atol=2e-3) and not usual.equals(other)
    assert np.allclose(usual["log_likelihood"], other["log_likelihood"], atol=1e-2)


def test_structures_that_the_data_do_not_determine_are_left_out():
    few = activity_study([ActivityConfig(n_genes=14, n_tfs=4, n_conditions=8, replicates=2)], progress=False)
    assert set(few["method"]) == {"ridge", "auto"} and gains(few, "auto")["gain"].notna().all()
    one = activity_study([ActivityConfig(n_genes=40, n_tfs=4, n_conditions=1, activity_cov="identity", replicates=2)], progress=False)
    assert set(one["method"]) == {"ridge", "auto"} and np.allclose(gains(one, "auto")["gain"], 0)
    data = simulate_activity(ActivityConfig(n_genes=60, n_tfs=12, n_conditions=3))
    fit = fit_motif_activity(data.Y_of(0), data.params["motif"])
    assert list(named_fits(StudyFits((("lowrank_3", "identity"), ("lowrank_4", "identity"))), fit, FitStart())) == ["lowrank_3/identity"]


def test_a_setting_without_a_method_does_not_hide_it_elsewhere():
    settings = [ActivityConfig(n_genes=g, n_tfs=4, n_conditions=8, replicates=3) for g in (14, 60)]
    summary = study_summary(activity_study(settings, progress=False))
    assert list(summary.loc[summary["method"] == MIXED, "setting"]) == [1] and set(summary["setting"]) == {0, 1}
    assert gains_table(summary)[f"gain of {MIXED}"].tolist()[0] == "–"
    won = standings(summary).set_index("method")
    assert won.loc[MIXED, "settings"] == 1 and won.loc["auto", "settings"] == 2


def test_study_does_not_depend_on_the_number_of_jobs_or_on_blocks(monkeypatch):
    base = ActivityConfig(n_genes=100, n_tfs=20, replicates=3)
    settings = activity_grid(base, {"activity_cov": ("document",), "noise_cov": ("identity", "randomV")})
    assert [s.activity_cov for s in settings[:3]] == [("identity",), ("freeform",), ("lowrank_2",)] and len(settings) == 6
    one, two = activity_study(settings, progress=False), activity_study(settings, n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    monkeypatch.setattr(engine, "BLOCK", 2)
    assert len(study_blocks(settings)) == 12
    pd.testing.assert_frame_equal(one, activity_study(settings, progress=False), check_exact=True)
    assert len(one) == 6 * 3 * 3 and set(one["method"]) == {"ridge", MIXED, "auto"} and list(one.columns) == ["setting", *FACTS, *ROW]
    table = gains(one)
    assert len(table) == 6 and table["gain"].notna().all() and (table["error"] > 0).all()


def test_gains_are_means_of_differences_within_data_sets():
    rows = [(0, r, m, v) for r, pair in enumerate([(0.5, 0.6), (0.7, 0.9), (0.4, 0.4)]) for m, v in zip(("ridge", MIXED), pair)]
    table = pd.DataFrame(rows, columns=["setting", "replicate", "method", "correlation"]).assign(**dict.fromkeys(FACTS, 1))
    found = gains(table).loc[0]
    assert found["gain"] == pytest.approx(0.1) and found["error"] == pytest.approx(0.1 / np.sqrt(3)) and found["replicates"] == 3


# ---- the folder ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A small study in its folder, by the command."
    out = tmp_path_factory.mktemp("study") / "out"
    assert main(words(out, n_conditions="3,4", noise_cov="identity,identityV", noise_fraction="0.5,0.9")) == 0
    return out


def test_files_of_a_study(study):
    assert [p.name for p in study.parent.iterdir()] == ["out"]  # nothing is left beside it
    names = {p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file() and p.suffix not in (".png", ".svg", ".log")}
    assert names == {"study.csv", "gains.csv", "report.html", "run.json"}
    assert {p.name for p in (study / "plots").iterdir()} == {
        f"{name}.{end}" for name in ("gain_by_shape", "gain_along_options", "correlations", "coverage") for end in ("png", "svg")
    }
    table, summary = (pd.read_csv(study / f"{name}.csv", **EXACT) for name in ("study", "gains"))
    assert len(table) == 12 * 7 * 3 and len(summary) == 12 * 3
    again = study_summary(table)
    pd.testing.assert_frame_equal(again, summary, check_dtype=False)
    facts = json.loads((study / "run.json").read_text())
    assert facts["status"] == "done" and facts["command"] == "activity_study" and facts["counts"] == dict(settings=12, data_sets=84)
    assert facts["verdict"] == study_verdict(summary) and facts["parameters"]["n_conditions"] == ["3", "4"]


def test_the_page_says_what_the_table_says(study):
    page, summary = (study / "report.html").read_text(), pd.read_csv(study / "gains.csv", **EXACT)
    verdict = json.loads((study / "run.json").read_text())["verdict"]
    assert verdict in page and page.index(verdict) < page.index("<nav") and page.count("<figure>") == 4
    assert page.count("<script>") == 1 and "<script " not in page and not re.search(r'(src|href)="(?!data:|#)', page)
    for text in gains_table(summary)["gain of auto"]:
        assert text in page


def test_wins_are_counted_by_hand(study):
    summary = pd.read_csv(study / "gains.csv", **EXACT)
    for row in standings(summary).itertuples(index=False):
        part = summary[summary["method"] == row.method]
        assert row.wins == ((part["gain"] - 2 * part["error"]) > 0).sum() and row.losses == ((part["gain"] + 2 * part["error"]) < 0).sum()
        assert row.mean_gain == pytest.approx(part["gain"].mean())


def test_figures_show_the_means(study):
    summary = pd.read_csv(study / "gains.csv", **EXACT)
    figures = {f.name: f.figure for f in study_figures(pd.read_csv(study / "study.csv", **EXACT), summary)}
    left = figures["gain_by_shape"].axes[0]
    rows = [label.get_text() for label in left.get_yticklabels()]
    shapes = [(0.0, "identity"), (0.5, "identityV"), (0.9, "identityV")]
    assert rows == [f"{v}, {noise_name(n, f)}" for v in ("identity", "lowrank_2") for f, n in shapes]
    part = summary[(summary["method"] == MIXED) & (summary["n_conditions"] == 3)].set_index(["activity_cov", "noise_cov", "noise_fraction"])
    drawn = left.containers[0].lines[0].get_xdata()
    assert np.allclose(sorted(drawn), sorted(part["gain"]))
    assert [ax.get_xlabel() for ax in figures["gain_along_options"].axes] == ["conditions", "share of V"]


def test_a_grid_of_one_setting_has_its_figures(tmp_path):
    out, _ = activity_study_to_directory(
        ActivityStudyConfig(**TINY | dict(activity_cov="freeform", replicates=2), output_dir=str(tmp_path / "x")), False
    )
    assert {p.stem for p in (out / "plots").iterdir()} == {"gain_by_shape", "correlations", "coverage"}


def test_a_folder_is_replaced_only_when_told(study, capsys):
    before = (study / "study.csv").read_bytes()
    assert main(words(study, replicates=2)) == 2 and "--overwrite" in capsys.readouterr().err
    assert (study / "study.csv").read_bytes() == before and [p.name for p in study.parent.iterdir()] == ["out"]


def test_processes_change_no_byte(tmp_path):
    for cpus in (1, 2):
        assert main(words(tmp_path / str(cpus), n_cpus=cpus, replicates=6)) == 0
    for name in ("study.csv", "gains.csv", "plots/gain_by_shape.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_motifs_of_a_table(tmp_path, capsys, undrawn):
    pd.DataFrame(np.random.default_rng(0).random((70, 14)), [f"g{i}" for i in range(70)]).add_prefix("m").to_csv(tmp_path / "m.csv")
    assert main(words(tmp_path / "out", motif_file=tmp_path / "m.csv", replicates=2)) == 0
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [i["option"] for i in facts["inputs"]] == ["motif_file"]
    assert main(words(tmp_path / "no", motif_file=tmp_path / "m.csv", n_tfs="12,15")) == 2
    assert "14 distinct columns" in capsys.readouterr().err and sorted(p.name for p in tmp_path.iterdir()) == ["m.csv", "out"]


@pytest.fixture
def undrawn(monkeypatch):
    "Studies without figures, where the test does not look at them."
    monkeypatch.setattr("tfbpmodeling.activity.activity_study_report.study_figures", lambda table, summary: [])


# ---- stopped and gone on ----------------------------------------------------------------------------------------------


def counted(monkeypatch, stop_after=None, error=KeyboardInterrupt):
    "The blocks that are made, in a list; after some of them the study is stopped."
    made, make = [], engine._block_text

    def block(config, replicates, fits):
        if len(made) == stop_after:
            raise error("stopped by the test")
        made.append((config.activity_cov[0], replicates))
        return make(config, replicates, fits)

    monkeypatch.setattr(engine, "_block_text", block)
    return made


@pytest.mark.parametrize("error, status", [(KeyboardInterrupt, 130), (MemoryError, 1)])
def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys, error, status, undrawn):
    with monkeypatch.context() as m:
        made = counted(m, 3, error)
        assert main(words(tmp_path / "out")) == status and len(made) == 3
    assert not (tmp_path / "out").exists() and len(list(unfinished(tmp_path / "out").glob("block-*.csv"))) == 3
    assert "out.unfinished" in capsys.readouterr().err
    with monkeypatch.context() as m:
        made = counted(m)
        assert main(words(tmp_path / "out")) == 0 and len(made) == 1  # of four blocks
    assert "3 of 4 blocks were done before" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert main(words(tmp_path / "whole")) == 0
    assert (tmp_path / "out" / "study.csv").read_bytes() == (tmp_path / "whole" / "study.csv").read_bytes()


def test_a_killed_study_leaves_no_folder_and_goes_on(tmp_path, undrawn):
    command = [sys.executable, "-m", "tfbpmodeling", *words(tmp_path / "out", replicates=60, activity_cov="freeform")]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ | dict(OPENBLAS_NUM_THREADS="1")
    )
    kept, until = unfinished(tmp_path / "out"), time.monotonic() + 120
    while not list(kept.glob("block-*.csv")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {p.name: p.stat().st_mtime_ns for p in kept.glob("block-*.csv")}
    assert 0 < len(done) < 12 and not (tmp_path / "out").exists()
    settings = study_settings(ActivityStudyConfig(**TINY | dict(replicates=60, activity_cov="freeform")))
    before = [stored_block(kept, settings[i], r, StudyFits()) is not None for i, r in study_blocks(settings)]
    assert sum(before) == len(done)  # each is whole
    assert main(words(tmp_path / "out", replicates=60, activity_cov="freeform")) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and len(pd.read_csv(tmp_path / "out" / "study.csv")) == 60 * 3


@pytest.mark.parametrize("damage", ["", "replicate,method\n0,ridge\n", "not a table", "cut"])
def test_a_damaged_block_is_made_again(tmp_path, monkeypatch, damage, undrawn):
    with monkeypatch.context() as m:
        counted(m, 2)
        main(words(tmp_path / "out"))
    for block in unfinished(tmp_path / "out").glob("block-*.csv"):
        text = block.read_text()
        block.write_text(text[: len(text) // 2] if damage == "cut" else damage)
    made = counted(monkeypatch)
    assert main(words(tmp_path / "out")) == 0 and len(made) == 4
    assert main(words(tmp_path / "whole")) == 0
    assert (tmp_path / "out" / "study.csv").read_bytes() == (tmp_path / "whole" / "study.csv").read_bytes()


@pytest.mark.parametrize(
    "change", [dict(random_state=1), dict(init="jitter"), dict(n_genes="61"), dict(fit_noise_cov="diag"), dict(noise_df=5)]
)
def test_blocks_of_another_study_are_not_taken(tmp_path, monkeypatch, change, undrawn):
    with monkeypatch.context() as m:
        counted(m, 2)
        main(words(tmp_path / "out"))
    made = counted(monkeypatch)
    assert main(words(tmp_path / "out", **change)) == 0 and len(made) == 4


def test_more_replicates_take_what_is_there(tmp_path, monkeypatch, undrawn):
    with monkeypatch.context() as m:
        counted(m, 3)
        main(words(tmp_path / "out", replicates=10))
    made = counted(monkeypatch)
    assert main(words(tmp_path / "out", replicates=15)) == 0 and len(made) == 3


def test_a_link_in_the_place_of_what_is_kept_is_refused(tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.unfinished").symlink_to(tmp_path / "elsewhere")
    assert main(words(tmp_path / "out", replicates=2)) == 2
    assert "is a link" in capsys.readouterr().err and not list((tmp_path / "elsewhere").iterdir())


def test_its_processes_import_nothing_from_the_folder_where_one_stands(tmp_path):
    for name in ("tfbpmodeling", "numpy", "joblib", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w').close()\n")
    program = Path(sys.executable).with_name("tfbpmodeling")
    run = subprocess.run([program, *words("out", replicates=2, n_cpus=2)], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not (tmp_path / "executed").exists() and (tmp_path / "out" / "study.csv").is_file()


def test_processes_that_are_used_again_write_where_the_new_call_stands(tmp_path, monkeypatch, undrawn):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main(words("out", replicates=2, n_cpus=2)) == 0
        sizes = "--n_genes 60 --n_tfs 12 --activity_cov identity,freeform --n_cpus 2".split()
        assert main(["simulate", "--model", "activity", "--output_dir", "tables", *sizes]) == 0
        assert (tmp_path / name / "out" / "study.csv").is_file() and len(list((tmp_path / name / "tables").glob("*.npz"))) == 2
