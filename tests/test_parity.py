"""One test for each row of docs/parity.md: where we differ from the published program on purpose."""

import dataclasses
import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from examples import files_of, small_tables, write_tables
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from tfbpmodeling.artifacts import run_name, write_run
from tfbpmodeling.bootstrap_model_results import BootstrapModelResults
from tfbpmodeling.cli import main, parse
from tfbpmodeling.config import Config, InputError
from tfbpmodeling.design_matrix import all_data_terms, make_design
from tfbpmodeling.modeling_data import load_modeling_data, make_modeling_data
from tfbpmodeling.workflow import design_for, make_plan, run

QUICK = Config(perturbed_tf="P", n_bootstraps=20, random_state=1, top_n=100, n_cpus=1)


@pytest.fixture(scope="module")
def data():
    return make_modeling_data(*small_tables(), "P")


@pytest.fixture(scope="module")
def result(data):
    return run(QUICK, data, progress=False)


def variant(data, **options):
    return run(dataclasses.replace(QUICK, **options), data, progress=False)


def test_every_row_names_a_test_that_exists():
    here = Path(__file__)
    named = set(re.findall(r"`(test_\w+)`", (here.parents[1] / "docs" / "parity.md").read_text(encoding="utf-8")))
    assert len(named) >= 21 and named <= {name for name in globals() if name.startswith("test_")}


def test_default_bins(data):
    assert Config().bins == (0, 8, 12, np.inf)
    assert variant(data, bins="0,5.5,70,inf").design.strata.max() == 3


def test_bins_in_every_stage(data, result):
    other = variant(data, bins="0,50,inf")
    assert not result.topn.bootstrap_coefs_df.equals(other.topn.bootstrap_coefs_df) or tuple(result.all_data.kept) != tuple(
        other.all_data.kept
    )
    same_terms = tuple(result.all_data.kept)
    assert (
        make_design(result.topn_data, same_terms, (0, 50, np.inf)).strata != make_design(result.topn_data, same_terms, QUICK.bins).strata
    ).any()


def test_stage5_is_least_squares(data, result):
    design = make_design(data, tuple(result.topn.kept), QUICK.bins)
    folds = StratifiedKFold(4, shuffle=True, random_state=42).split(design.X, design.strata)
    expected = cross_val_score(LinearRegression(), design.X, design.y, cv=list(folds), scoring="r2").mean()
    assert result.significance["avg_r2_interactor"].iloc[0] == pytest.approx(expected, rel=1e-9)


def test_stage4_topn_chooses_the_genes(data, result):
    on_topn = variant(data, stage4_topn=True)
    assert on_topn.significance["avg_r2_interactor"].iloc[0] != result.significance["avg_r2_interactor"].iloc[0]
    design = make_design(result.topn_data, tuple(result.topn.kept), QUICK.bins)
    folds = list(StratifiedKFold(4, shuffle=True, random_state=42).split(design.X, design.strata))
    expected = cross_val_score(LinearRegression(), design.X, design.y, cv=folds, scoring="r2").mean()
    assert on_topn.significance["avg_r2_interactor"].iloc[0] == pytest.approx(expected, rel=1e-9)


def test_scale_by_std_reaches_stage5(data):
    plain, scaled = variant(data, stage4_lasso=True), variant(data, stage4_lasso=True, scale_by_std=True)
    a, b = plain.significance.set_index("interactor"), scaled.significance.set_index("interactor")
    term = a.index.intersection(b.index)[0]
    assert abs(a.loc[term, "coef_interactor"] - b.loc[term, "coef_interactor"]) > 0.05 * abs(a.loc[term, "coef_interactor"])


def test_stage4_lasso_order_and_fields(data):
    first, second = variant(data, stage4_lasso=True), variant(data, stage4_lasso=True)
    pd.testing.assert_frame_equal(first.significance, second.significance)
    assert list(first.significance) == [
        "interactor",
        "variant",
        "r2_lasso_model",
        "coef_interactor",
        "coef_main_effect",
        "cv_r2_lasso_model",
    ]
    assert (first.significance["cv_r2_lasso_model"] < first.significance["r2_lasso_model"]).all()


def test_row_max_covers_all_columns(data):
    wide = dataclasses.replace(data, predictors=data.predictors.assign(hot=1000.0))
    assert (make_design(wide, ("row_max",), QUICK.bins).X == 1000).all()


def test_seed_zero_is_a_seed(data):
    zero = variant(data, random_state=0)
    assert zero.seed == 0
    again = variant(data, random_state=0)
    pd.testing.assert_frame_equal(zero.topn.bootstrap_coefs_df, again.topn.bootstrap_coefs_df)
    assert not zero.topn.bootstrap_coefs_df.equals(variant(data, random_state=10).topn.bootstrap_coefs_df)


def test_empty_topn_is_an_error(data):
    tied = dataclasses.replace(data, predictors=data.predictors.assign(P=(data.predictors["P"] > 0).astype(float)))
    with pytest.raises(InputError, match=r"genes share the strongest binding"):
        make_plan(tied, dataclasses.replace(QUICK, top_n=10))


def test_response_column(tmp_path):
    response, predictors = small_tables()
    other = response.rename(columns={"P": "log2fc"}).rename_axis("whatever").assign(note="text")
    write_tables(tmp_path, other, predictors)
    config = Config(response_file=str(tmp_path / "response.csv"), predictors_file=str(tmp_path / "predictors.csv"), perturbed_tf="P")
    assert load_modeling_data(config).response_column == "log2fc"
    write_tables(tmp_path, response.assign(Q=1.0), predictors)
    assert load_modeling_data(config).response_column == "P"


def test_reader_takes_either_file_name(result, tmp_path):
    result.all_data.serialize(tmp_path)
    for new, old in (("result_obj_ci.json", "result_obj.json"), ("result_obj_coefs_alphas.pkl", "result_obj.pkl")):
        shutil.copy(tmp_path / new, tmp_path / old)
    back = BootstrapModelResults.deserialize(ci_dict_json=tmp_path / "result_obj.json", coefs_alphas_pkl=tmp_path / "result_obj.pkl")
    assert back.extract_significant_coefficients(ci_level=98.0) == result.all_data.kept


def test_stage3_bundle(data, tmp_path):
    result = variant(data, scale_by_std=True)
    write_run(tmp_path, result)
    bundle = joblib.load(tmp_path / "best_all_data_model.pkl")
    assert {"model", "feature_names", "formula", "perturbed_tf", "scale_by_std", "drop_intercept", "scaler"} == set(bundle)
    matrix = design_for(bundle, data.predictors)
    np.testing.assert_allclose(bundle["model"].predict(matrix.to_numpy()), result.best_model.predict(data.predictors))
    facts = json.loads((tmp_path / "best_all_data_model.json").read_text())
    by_hand = facts["intercept"] + sum(
        c * data.predictors["P"] * data.predictors[t[2:]] / facts["scale"][t] for t, c in facts["coefficients"].items()
    )
    np.testing.assert_allclose(by_hand, result.best_model.predict(data.predictors))


def test_names_are_never_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "__import__('pathlib').Path('RAN').touch()"
    named = make_modeling_data(*small_tables(names=("P", code, "P-1", "A")), "P")
    assert variant(named, add_model_variables=[code]).all_data.terms[0] == f"P:{code}"
    assert all_data_terms(named, QUICK)[1] == "P:P-1" and not Path("RAN").exists()


def test_path_in_perturbed_tf():
    with pytest.raises(InputError, match="path separator"):
        Config(perturbed_tf="../X")


def test_bad_input_leaves_nothing(tmp_path, capsys):
    tables = write_tables(tmp_path, *small_tables())
    before = sorted(tmp_path.rglob("*"))
    argv = ["linear_perturbation_binding_modeling", *tables, "--perturbed_tf", "nope", "--output_dir", str(tmp_path / "out")]
    assert main(argv) == 2 and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("spoil, says", [("G0001 ,", "spaces"), ("G0001,text,", "text")])
def test_clear_errors_for_tables(tmp_path, spoil, says):
    write_tables(tmp_path, *small_tables())
    path = tmp_path / "predictors.csv"
    lines = path.read_text().splitlines()
    values = lines[2].split(",", 2)
    lines[2] = spoil + (",".join(values[1:]) if says == "spaces" else values[2])
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=says):
        load_modeling_data(Config(response_file=str(tmp_path / "response.csv"), predictors_file=str(path), perturbed_tf="P"))


def test_convergence_is_counted(data):
    stopped = variant(data, max_iter=1)
    assert stopped.counts["not_converged_all_data"] > 0
    assert any("did not converge" in note for note in stopped.warnings)


def test_few_genes_warn():
    few = make_modeling_data(*small_tables(n=60), "P")
    assert any("60 genes" in note for note in make_plan(few, dataclasses.replace(QUICK, top_n=40)).warnings)
    with pytest.raises(InputError, match="too few"):
        make_plan(make_modeling_data(*small_tables(n=3, seed=5), "P"), QUICK)


def test_logging_options():
    for argv in (
        ["--log-level", "CRITICAL", "--log-handler", "file", "demo"],
        ["demo", "--log-level", "CRITICAL", "--log-handler", "file"],
    ):
        args = parse(argv)[1]
        assert (args.log_level, args.log_handler) == ("CRITICAL", "file")


def test_dropout_level_above_the_final_level():
    with pytest.raises(InputError, match="more lenient"):
        Config(iterative_dropout=True, stabilization_ci_start=95, all_data_ci_level=90)
    assert Config(stabilization_ci_start=95, all_data_ci_level=90).all_data_ci_level == 90  # without dropout the level is not used


def test_runs_with_this_scikit_learn(result):
    assert result.best_model.model.alpha_ == result.best_model.alpha


def test_directory_name():
    now = datetime(2026, 1, 2, 3, 4, 5)
    assert run_name(Config(perturbed_tf="YOR028C", output_suffix="_ko"), now) == "YOR028C_ko"
    assert run_name(Config(perturbed_tf="YOR028C", output_suffix="_ko", timestamp=True), now) == "YOR028C_ko_20260102_030405"


def test_normalize_sample_weights_changes_nothing(data, result):
    pd.testing.assert_frame_equal(
        variant(data, normalize_sample_weights=True).all_data.bootstrap_coefs_df, result.all_data.bootstrap_coefs_df
    )


def test_added_variable_stays_an_interactor(data):
    terms = all_data_terms(data, dataclasses.replace(QUICK, add_model_variables=("hot",)))
    assert {"P:hot", "hot"} <= set(terms)


def test_main_effect_is_not_called_an_interaction():
    rng = np.random.default_rng(0)
    ids, names = [f"G{i}" for i in range(600)], ["P", *"ABCDEFGH"]
    binding = pd.DataFrame(rng.exponential(1, (600, 9)), ids, names)
    response = (np.log1p(binding["P"]) + rng.normal(0, 0.3, 600)).to_frame("P")
    result = run(dataclasses.replace(QUICK, n_bootstraps=100, top_n=300), make_modeling_data(response, binding, "P"), progress=False)
    assert len(result.selected) >= 2  # all of them false, and the five stages pass them
    assert result.beyond_main_effects == () and "no change with TF beyond main effects is shown" in result.verdict


def test_no_report_same_files(tmp_path):
    tables = write_tables(tmp_path, *small_tables())
    argv = [
        "linear_perturbation_binding_modeling",
        *tables,
        "--perturbed_tf",
        "P",
        "--n_bootstraps",
        "20",
        "--random_state",
        "1",
        "--top_n",
        "100",
    ]
    for out, more in (("with", []), ("without", ["--no_report"])):
        assert main([*argv, "--n_cpus", "1", "--output_dir", str(tmp_path / out), *more]) == 0
    have = [{name for name in files_of(tmp_path / out / "P") if not name.endswith(".log")} for out in ("with", "without")]
    assert have[0] - have[1] == {"report.html", "report.ipynb"} and not have[1] - have[0]
