"""The golden runs of the reference program, to the tolerances A to F of its behaviour's description.

The golden folder's runs, stage 3 ("default bins") and the stage 5 variants all used the bins 0,8,64,512,inf of the program's code: with
them stages 3 and 5 agree to 1e-9, with the documented 0,8,12,inf they do not. Its run with seed 0 drew the top-N resamples with seed 0 too.
"""

import functools
import hashlib
import json
import shlex
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.model_selection import StratifiedKFold

from tfbpmodeling.bootstrap_model_results import bootstrap, bootstrap_indices, bootstrap_weights
from tfbpmodeling.config import Config
from tfbpmodeling.design_matrix import make_design, strata
from tfbpmodeling.interactor_significance import interactor_significance
from tfbpmodeling.lasso import stratified_folds
from tfbpmodeling.modeling_data import load_modeling_data
from tfbpmodeling.workflow import fit_best_model, run

BINS = (0, 8, 64, 512, np.inf)
STEP = np.log(1e-3) / 99  # of the grid of alphas, in logarithms
RUNS = "blacklist default dropout exclude_add exclude_all_ptf n1000 normw scale seed0".split()
FEW_TERMS = {"synth_dropout", "synth_exclude_all_ptf"}  # 7 and 3 terms at stage 2: the error curve is as flat there as in the top-N stage


@pytest.fixture(scope="module")
def golden(shared):
    return shared / "golden"


def flags(line: str, folder) -> dict:
    "The options of a command line; files are in `folder`."
    words, options = shlex.split(line), {}
    for word, following in zip(words, [*words[1:], "--"]):
        if word.startswith("--"):
            value = True if following.startswith("--") else following
            options[word[2:]] = str(folder / value) if word.endswith("_file") else value
    return options


@functools.cache
def golden_run(folder, name):
    "The reference's answer and our run with the same flags."
    answer = json.loads((folder / name / "golden.json").read_text())
    config = Config(**flags(answer["flags"], folder), bins=BINS, n_cpus=2)
    return answer, run(config, progress=False)


@functools.cache
def inputs(folder, **options):
    config = Config(
        response_file=folder / "synth_resp_TF01.csv",
        predictors_file=folder / "synth_predictors.csv",
        perturbed_tf="TF01",
        bins=BINS,
        **options,
    )
    return config, load_modeling_data(config)


# ---------------------------------------------------------------- A


@pytest.mark.parametrize("stage", ["synth_all", "synth_topn"])
def test_a_genes_resamples_classes_and_folds_are_the_same(golden, stage):
    fixture = json.loads((golden / "rng_fixtures.json").read_text())[stage]
    _, data = inputs(golden)
    data = data.top(600) if stage == "synth_topn" else data
    assert list(data.genes) == fixture["genes_in_order"]
    labels = strata(data.binding, BINS)
    assert list(labels) == fixture["classes"]
    drawn = bootstrap_indices(data.n_genes, 100, fixture["random_state"])
    for b, rows in fixture["bootstrap_positions"].items():
        assert list(drawn[int(b)]) == rows
    for b, folds in fixture["fold_of_row"].items():
        assert list(stratified_folds(labels, 4, int(b))) == folds
    weights = bootstrap_weights(data.n_genes, 100, fixture["random_state"])
    assert (weights == [np.bincount(rows, minlength=data.n_genes) for rows in drawn]).all()
    digest = hashlib.sha256(np.ascontiguousarray(weights, dtype="<i8").tobytes()).hexdigest()
    assert digest == fixture["weights_sha256_first100_int64_LE_rowmajor"]


# ---------------------------------------------------------------- B and C


def test_c_the_converged_solution_is_the_same(golden):
    "And B: every alpha is on the same grid."
    tight = json.loads((golden / "tight/synth.json").read_text())
    coefs = pd.read_csv(golden / "tight/synth_coefs.csv.gz")
    ours = golden_run(golden, "synth_default")[1].all_data
    steps = alpha_shift(ours, tight["alpha"])
    same, largest = steps == 0, np.abs(coefs.to_numpy()).max()
    assert list(coefs.columns) == ours.terms and same.mean() >= 0.99
    assert np.abs(ours.bootstrap_coefs_df.to_numpy() - coefs.to_numpy())[same].max() <= 1e-6 * largest
    for level, bounds in tight["ci"].items():
        assert largest_difference(ours.ci_dict[level], bounds) <= 1e-6 * largest


def alpha_shift(ours, alphas) -> np.ndarray:
    "By how many steps of the grid the alphas differ; every one has to lie on the grid (B)."
    steps = np.log(np.array(ours.alpha_list) / np.array(alphas)) / STEP
    whole = np.rint(steps)
    assert np.abs(steps - whole).max() * abs(STEP) < 1e-9
    return whole


def largest_difference(ours: dict, theirs: dict) -> float:
    assert list(ours) == list(theirs)
    return np.abs(np.array(list(ours.values())) - np.array(list(theirs.values()))).max()


# ---------------------------------------------------------------- D


def stages(answer, result):
    "(name, reference, ours, data, flat error curve) of each stage that can be compared."
    flat = answer["name"] in FEW_TERMS
    yield "all_data", answer["all_data"], result.all_data, result.data, flat
    if answer["name"] != "synth_seed0":  # compared below
        yield "topn", answer["topn"], result.topn, result.topn_data, True


@pytest.mark.parametrize("name", RUNS)
def test_d_the_programs_own_runs_agree(golden, name):
    answer, result = golden_run(golden, f"synth_{name}")
    for stage, theirs, ours, data, flat in stages(answer, result):
        path = golden / answer["name"] / f"{stage}_bootstrap_coefs.csv.gz"
        coefs = pd.read_csv(path)[list(theirs["columns"])].to_numpy() if path.exists() else None
        agrees(theirs, coefs, ours, flat)
        if coefs is not None:
            design = make_design(data, tuple(ours.terms), BINS, result.config.scale_by_std)
            never_worse(design, theirs["alpha_list"], coefs, ours, result.seed + 10 * (stage == "topn"))


def agrees(theirs: dict, coefs: np.ndarray | None, ours, flat: bool) -> None:
    "Terms, alphas, interval bounds and kept terms of one stage."
    (level, bounds), kept = next(iter(theirs["ci"].items())), set(theirs["significant"])
    assert ours.terms == list(theirs["columns"]) and next(iter(ours.ci_dict)) == level
    shift = np.abs(alpha_shift(ours, theirs["alpha_list"]))
    assert (shift == 0).mean() >= (0.45 if flat else 0.80)
    assert shift.max() <= (4 if not flat else 15 if len(ours.terms) != 3 else 25)  # exclude_all: see never_worse
    largest = np.abs(list(bounds.values()) if coefs is None else coefs).max()
    if coefs is not None and "I(TF01 ** 3)" not in ours.terms:  # the program is far from converged there: see never_worse
        assert np.abs(coefs - ours.bootstrap_coefs_df.to_numpy())[shift == 0].max() <= 0.01 * largest
    assert largest_difference(ours.ci_dict[level], bounds) <= 0.05 * largest
    assert all(min(np.abs(bounds[t])) <= 0.02 * largest for t in kept ^ set(ours.kept))


def never_worse(design, alphas, coefs, ours, seed: int) -> None:
    "At the same alpha our objective is never above theirs; where alphas differ, ours has the smaller converged error."
    weights = bootstrap_weights(len(design.y), len(alphas), seed).astype(float)
    shift = alpha_shift(ours, alphas)
    for b in np.flatnonzero(shift == 0):
        theirs = objective(design, weights[b], coefs[b], alphas[b])
        assert objective(design, weights[b], ours.bootstrap_coefs_df.to_numpy()[b], alphas[b]) <= theirs * (1 + 1e-12)
    for b in np.argsort(-np.abs(shift), kind="stable")[:3]:
        if shift[b]:
            error = converged_errors(design, weights[b], [alphas[b], ours.alpha_list[b]], b)
            assert error[ours.alpha_list[b]] <= error[alphas[b]] * (1 + 2e-6)


def objective(design, w, coef, alpha) -> float:
    "Of the lasso with weights and the best intercept for these coefficients."
    residual = design.y - design.X @ coef
    residual = residual - np.average(residual, weights=w)
    return np.average(residual**2, weights=w) / 2 + alpha * np.abs(coef).sum()


def converged_errors(design, w, alphas, b) -> dict:
    "Cross-validation error at each alpha by scikit-learn run to convergence."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        folds = list(StratifiedKFold(4, shuffle=True, random_state=b).split(design.X, design.strata))
        fit = LassoCV(alphas=alphas, cv=folds, tol=1e-10, max_iter=100_000).fit(design.X, design.y, sample_weight=w)
    by_alpha = dict(zip(fit.alphas_, fit.mse_path_.mean(axis=1)))
    return {a: by_alpha[a] for a in alphas}


def test_d_seed_0_agrees_at_top_n_when_we_use_seed_0_there_too(golden):
    "The reference takes 0 for unset and adds no 10; ours uses seed 10, so the same stage is fitted again with seed 0."
    answer, result = golden_run(golden, "synth_seed0")
    theirs = answer["topn"]
    coefs = pd.read_csv(golden / "synth_seed0/topn_bootstrap_coefs.csv.gz")[list(theirs["columns"])].to_numpy()
    design = make_design(result.topn_data, tuple(theirs["columns"]), BINS)
    ours = bootstrap(design, 100, 0, 90.0)
    agrees(theirs, coefs, ours, flat=True)
    never_worse(design, theirs["alpha_list"], coefs, ours, 0)
    assert result.topn.terms == ours.terms and result.topn.alpha_list == bootstrap(design, 100, 10, 90.0).alpha_list


def test_d_normalize_sample_weights_gives_the_default_run(golden):
    plain, flagged = golden_run(golden, "synth_default")[1], golden_run(golden, "synth_normw")[1]
    assert plain.all_data.alpha_list == flagged.all_data.alpha_list and plain.topn.ci_dict == flagged.topn.ci_dict


# ---------------------------------------------------------------- E and F


@pytest.mark.parametrize("rows", ["all", "topn"])
def test_e_stage_5_by_linear_regression(golden, rows):
    config, data = inputs(golden)
    theirs = pd.DataFrame(json.loads((golden / "stage5_variants.json").read_text())[f"synth_default|{rows}|LinearRegression"])
    ours = interactor_significance(data if rows == "all" else data.top(600), tuple(theirs["interactor"]), config).results
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-12, check_dtype=False)


def test_e_the_default_run_ends_in_the_same_table(golden):
    result = golden_run(golden, "synth_default")[1]
    theirs = pd.DataFrame(json.loads((golden / "stage5_variants.json").read_text())["synth_default|all|LinearRegression"])
    pd.testing.assert_frame_equal(result.significance, theirs, rtol=1e-9, atol=1e-12, check_dtype=False)


@pytest.mark.parametrize("name", ["synth_default", "synth_features", "synth_scale"])
def test_f_stage_3(golden, name):
    facts = json.loads((golden / "stage3_inferred.json").read_text())[name]
    config, data = inputs(golden, scale_by_std=name == "synth_scale")
    best, tight = fit_best_model(data, tuple(facts["formula"].split(" + ")), config), facts["tight"]
    np.testing.assert_allclose([best.alpha, best.model.alphas_[0]], [tight["alpha"], tight["alpha_max"]], rtol=1e-9)
    np.testing.assert_allclose(best.coef, [tight["coef"][t] for t in best.terms], rtol=1e-6)
    np.testing.assert_allclose(best.intercept, tight["intercept"], rtol=1e-6)
