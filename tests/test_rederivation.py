"""Every number of a run, derived again from the input files with pandas and scikit-learn alone."""

import dataclasses
import hashlib
import json
import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV, LinearRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from tfbpmodeling.artifacts import read_run, write_run
from tfbpmodeling.bootstrap_model_results import BootstrapModelResults, bootstrap_indices, bootstrap_weights
from tfbpmodeling.config import Config
from tfbpmodeling.lasso import stratified_folds
from tfbpmodeling.workflow import design_for, run

PTF = "TF1"
BINS = (0, 8, 12, math.inf)

# ---------------------------------------------------------------- input files


def write_inputs(folder: Path) -> None:
    "Skewed binding of 8 factors and a covariate at 160 genes, planted TF1:TF2 and TF1:TF3, a TF4 main effect; rows in two random orders."
    rng = np.random.RandomState(20)
    genes = [f"Y{i:03d}W" for i in range(157)] + ["TF1", "YAL1-A", "a:b"]
    binding = pd.DataFrame(rng.lognormal(0, 0.8, (160, 8)).round(4), index=genes, columns=[f"TF{j}" for j in range(1, 9)])
    binding["TF5"] = binding["TF5"].round(0)
    binding["covariate"] = rng.gamma(2, 1, 160).round(4)
    tf1 = binding["TF1"]
    y = 0.9 * tf1 * binding["TF2"] - 0.7 * tf1 * binding["TF3"] + 0.8 * binding["TF4"] + 0.3 * tf1**2 + rng.standard_t(4, 160)
    response = pd.DataFrame({"TF9": rng.normal(size=160), "TF1": y.round(5)}, index=genes)
    binding.drop(index=genes[:3]).sample(frac=1, random_state=1).rename_axis("locus").to_csv(folder / "predictors.csv")
    response.drop(index=genes[5:9]).sample(frac=1, random_state=2).rename_axis("target_symbol").to_csv(folder / "response.csv")
    (folder / "blacklist.txt").write_text("Y030W\n\n  Y031W \nunknown\n")


# ---------------------------------------------------------------- the derivation: nothing below this line up to "comparison" uses tfbpmodeling


def read_genes(response_csv, predictors_csv, blacklist=()) -> tuple[pd.Series, pd.DataFrame, dict]:
    "Stage 1: response, predictors, and the genes left out by reason."
    response = pd.read_csv(response_csv, index_col=0)[PTF]
    predictors = pd.read_csv(predictors_csv, index_col=0).astype(float)
    here, there = set(response.index), set(predictors.index)
    genes = sorted((here & there) - set(blacklist) - {PTF})
    out = {"only in response": here - there, "only in predictors": there - here, "blacklisted": here & there & set(blacklist)}
    return response.loc[genes], predictors.loc[genes], out | {"perturbed gene": {PTF} & here & there, "missing values": set()}


def term_table(predictors: pd.DataFrame, terms) -> pd.DataFrame:
    "Terms written out by hand."
    made = {f"{PTF}:{v}": predictors[PTF] * predictors[v] for v in predictors}
    made |= {f"I({v} ** 2)": predictors[v] * predictors[v] for v in predictors}
    made |= {f"I({v} ** 3)": predictors[v] * predictors[v] * predictors[v] for v in predictors}
    made |= {v: predictors[v] for v in predictors} | {"row_max": predictors.max(axis=1), "TF5:TF6": predictors["TF5"] * predictors["TF6"]}
    return pd.DataFrame({t: made[t] for t in terms})


def scaled(X: pd.DataFrame, scale_by_std: bool) -> pd.DataFrame:
    return X / X.std(ddof=0) if scale_by_std else X


def classes(binding: pd.Series, bins) -> np.ndarray:
    "Right-closed bins of the rank from the top."
    return pd.cut(binding.rank(method="min", ascending=False), bins=list(bins), labels=range(1, len(bins))).astype(int).to_numpy()


def splits(strata, seed) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the smallest class has fewer genes than folds
        return list(StratifiedKFold(4, shuffle=True, random_state=seed).split(strata, strata))


def lasso_cv(X, y, weights, folds) -> dict:
    "One LassoCV to convergence; of alphas whose error is equal to one part in a million, the largest."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = LassoCV(alphas=100, cv=folds, tol=1e-12, max_iter=100_000).fit(X, y, sample_weight=weights)
        alphas, curve = fit.alphas_, fit.mse_path_.mean(axis=1)
        at = int(np.flatnonzero(curve <= curve.min() * (1 + 1e-6))[0])
        if alphas[at] != fit.alpha_:
            fit = Lasso(alpha=alphas[at], tol=1e-12, max_iter=100_000).fit(X, y, sample_weight=weights)
    return dict(alpha=alphas[at], cv_mse=curve[at], curve=curve, coef=fit.coef_, intercept=fit.intercept_, r2=fit.score(X, y, weights))


def interval(coefs: pd.DataFrame, level: float) -> pd.DataFrame:
    "low and high per term."
    return coefs.quantile([(100 - level) / 200, 1 - (100 - level) / 200]).T.set_axis(["low", "high"], axis=1)


def excluding_zero(bounds: pd.DataFrame) -> list[str]:
    return list(bounds.index[(bounds["low"] > 0) | (bounds["high"] < 0)])


FITS = {}  # variants that differ in stage 5 only share their bootstraps


def bootstrap_fits(X: pd.DataFrame, y: pd.Series, weights, folds) -> list[dict]:
    key = (X.to_csv(), y.to_csv(), np.array(weights).tobytes(), str(folds))
    if key not in FITS:
        FITS[key] = [lasso_cv(X.to_numpy(), y.to_numpy(), w.astype(float), f) for w, f in zip(weights, folds)]
    return FITS[key]


def bootstrap_stage(X: pd.DataFrame, y: pd.Series, strata, n_bootstraps: int, seed: int, level: float) -> dict:
    "Stage 2 or 4: everything that a result of it holds."
    rng = np.random.RandomState(seed)
    drawn = [rng.randint(0, len(y), len(y)) for _ in range(n_bootstraps)]
    weights = [np.bincount(rows, minlength=len(y)) for rows in drawn]
    folds = [splits(strata, b) for b in range(n_bootstraps)]
    fits = bootstrap_fits(X, y, weights, folds)
    column = {key: np.array([fit[key] for fit in fits]) for key in ("alpha", "cv_mse", "curve", "coef", "intercept", "r2")}
    coefs = pd.DataFrame(column["coef"], columns=X.columns)
    bounds = {str(float(v)): interval(coefs, v) for v in (level, *(v for v in (90, 95, 99) if v != level))}
    return dict(
        column,
        terms=list(X.columns),
        X=X,
        strata=strata,
        drawn=np.array(drawn),
        weights=np.array(weights),
        folds=folds,
        coefs=coefs,
        bounds=bounds,
        kept=excluding_zero(bounds[str(float(level))]),
    )


def top_genes(binding: pd.Series, top_n: int) -> list[str]:
    "Whole tie groups from the top, as long as their number stays within top_n."
    sizes = binding.value_counts().sort_index(ascending=False).cumsum()
    return list(binding.index[binding.isin(sizes.index[sizes <= top_n])])


def fold_r2(model, X: pd.DataFrame, y: pd.Series, strata) -> np.ndarray:
    return cross_val_score(model, X.to_numpy(), y.to_numpy(), cv=splits(strata, 42), scoring="r2")


def compare_with_main_effects(predictors, y, kept, bins, scale_by_std) -> dict:
    "Stage 5, by R squared."
    strata = classes(predictors[PTF], bins)

    def score(terms):
        return fold_r2(LinearRegression(), scaled(term_table(predictors, terms), scale_by_std), y, strata)

    with_interactors, rows, folds = score(kept), [], []
    for term in kept:
        if term.startswith(PTF + ":"):
            other = term.split(":")[1]
            with_main = score(list(dict.fromkeys(other if t == term else t for t in kept)))
            a, b = with_interactors.mean(), with_main.mean()
            rows.append(dict(interactor=term, variant=other, avg_r2_interactor=a, avg_r2_main_effect=b, delta_r2=b - a))
            folds += [dict(interactor=term, fold=k, r2_interactor=with_interactors[k], r2_main_effect=with_main[k]) for k in range(4)]
    return dict(results=rows, folds=folds, selected={r["interactor"]: r["delta_r2"] < 0 for r in rows})


def compare_in_one_lasso(predictors, y, kept, bins, scale_by_std) -> dict:
    "Stage 5 with stage4_lasso."
    strata = classes(predictors[PTF], bins)
    pairs = {term: term.split(":")[1] for term in kept if term.startswith(PTF + ":")}
    X = scaled(term_table(predictors, list(dict.fromkeys([*kept, *pairs.values()]))), scale_by_std)
    fit = lasso_cv(X.to_numpy(), y.to_numpy(), np.ones(len(y)), splits(strata, 42))
    coef, scores = dict(zip(X, fit["coef"])), fold_r2(Lasso(alpha=fit["alpha"], tol=1e-12, max_iter=100_000), X, y, strata)
    rows = [
        dict(
            interactor=t,
            variant=v,
            r2_lasso_model=fit["r2"],
            coef_interactor=coef[t],
            coef_main_effect=coef[v],
            cv_r2_lasso_model=scores.mean(),
        )
        for t, v in pairs.items()
    ]
    folds = [dict(interactor=t, fold=k, r2_lasso_model=scores[k]) for t in pairs for k in range(4)]
    return dict(results=rows, folds=folds, selected={r["interactor"]: abs(r["coef_interactor"]) > abs(r["coef_main_effect"]) for r in rows})


def derive(
    response_csv,
    predictors_csv,
    *,
    blacklist=(),
    n_bootstraps=24,
    seed=7,
    bins=BINS,
    top_n=100,
    first=(),  # terms before the interactors
    last=(),  # terms after them
    without=(),  # predictor columns that get no interactor
    scale_by_std=False,
    dropout_level=None,
    all_data_ci_level=98.0,
    topn_ci_level=90.0,
    on_topn=False,
    in_one_lasso=False,
) -> dict:
    "All five stages."
    y, predictors, left_out = read_genes(response_csv, predictors_csv, blacklist)
    terms = [*first, *(f"{PTF}:{v}" for v in predictors if v not in (PTF, *without)), *last]
    X, strata = scaled(term_table(predictors, terms), scale_by_std), classes(predictors[PTF], bins)
    rounds = []
    while True:
        all_data = bootstrap_stage(X, y, strata, n_bootstraps, seed, all_data_ci_level)
        rounds.append(X.shape[1])
        stay = excluding_zero(interval(all_data["coefs"], dropout_level)) if dropout_level else list(X)
        if stay == list(X) or not stay:
            break
        X = X[stay]
    kept = all_data["kept"]
    best = lasso_cv(X[kept].to_numpy(), y.to_numpy(), None, splits(strata, 42)) | dict(terms=kept)
    top = top_genes(predictors[PTF], top_n)
    top_X = scaled(term_table(predictors.loc[top], kept), scale_by_std)
    topn = bootstrap_stage(top_X, y.loc[top], classes(predictors.loc[top, PTF], bins), n_bootstraps, seed + 10, topn_ci_level)
    genes = top if on_topn else list(y.index)
    stage5 = compare_in_one_lasso if in_one_lasso else compare_with_main_effects
    significance = stage5(predictors.loc[genes], y.loc[genes], topn["kept"], bins, scale_by_std)
    return dict(
        y=y,
        predictors=predictors,
        left_out=left_out,
        terms=terms,
        all_data=all_data,
        rounds=rounds if dropout_level else [],
        best=best,
        top=top,
        topn=topn,
        significance=significance,
        seed=seed,
    )


# ---------------------------------------------------------------- comparison


def close(ours, theirs, scale=1.0, share=1e-9) -> None:
    "Equal to a share of the largest value (or of `scale`)."
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * max(scale, np.abs(theirs).max(initial=0)))


def same_bounds(ours: dict, bounds: pd.DataFrame, largest: float) -> None:
    assert list(ours) == list(bounds.index)
    close(list(ours.values()), bounds, largest, 1e-6)


def same_preprocessing(data, d: dict) -> None:
    assert list(data.genes) == list(d["y"].index) and list(data.predictors.columns) == list(d["predictors"].columns)
    np.testing.assert_array_equal(data.response, d["y"])
    np.testing.assert_array_equal(data.predictors, d["predictors"])


def same_resamples(d: dict, seed: int) -> None:
    "Indices, weights and folds of one bootstrap stage, exactly."
    n = len(d["strata"])
    np.testing.assert_array_equal(bootstrap_indices(n, len(d["alpha"]), seed), d["drawn"])
    np.testing.assert_array_equal(bootstrap_weights(n, len(d["alpha"]), seed), d["weights"])
    for b, folds in enumerate(d["folds"]):
        ours = stratified_folds(d["strata"], 4, b)
        assert all((np.flatnonzero(ours == k) == test).all() for k, (_, test) in enumerate(folds))


def same_stage(results, d: dict) -> None:
    "One BootstrapModelResults against one derived stage."
    largest, table = np.abs(d["coef"]).max(), results.statistics
    assert results.terms == d["terms"] and list(results.kept) == d["kept"] and list(results.ci_dict) == list(d["bounds"])
    np.testing.assert_allclose(results.alpha_list, d["alpha"], rtol=1e-9)
    np.testing.assert_array_equal(table["alpha"], results.alpha_list)
    close(results.bootstrap_coefs_df, d["coef"], largest, 1e-6)
    close(table["intercept"], d["intercept"], share=1e-6)
    np.testing.assert_allclose(table["cv_mse"], d["cv_mse"], rtol=1e-7)
    np.testing.assert_allclose(table["r2"], d["r2"], atol=1e-7)
    np.testing.assert_array_equal(table["n_nonzero"], (d["coef"] != 0).sum(axis=1))
    assert table["converged"].all() and list(table["bootstrap"]) == list(range(len(table)))
    np.testing.assert_allclose(results.cv_curve["mean_cv_mse"], d["curve"].mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(results.cv_curve["sd_cv_mse"], d["curve"].std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(results.cv_curve["relative_alpha"], np.geomspace(1, 1e-3, 100), rtol=1e-12)
    for level, bounds in d["bounds"].items():
        same_bounds(results.ci_dict[level], bounds, largest)
        assert list(results.extract_significant_coefficients(float(level))) == excluding_zero(bounds)
    same_interval_table(results.confidence_intervals(), d)
    same_importance(results.feature_importance(), d)


def same_interval_table(table: pd.DataFrame, d: dict) -> None:
    "confidence_intervals.csv."
    coefs, largest = d["coefs"], np.abs(d["coef"]).max()
    expected = pd.concat([b.rename_axis("term").reset_index().assign(level=float(v)) for v, b in d["bounds"].items()], ignore_index=True)
    assert list(table.columns) == "term level low high significant mean median selection_frequency sign_consistency".split()
    assert list(table["term"]) == list(expected["term"]) and list(table["level"]) == list(expected["level"])
    assert list(table["significant"]) == list((expected["low"] > 0) | (expected["high"] < 0))
    close(table[["low", "high"]], expected[["low", "high"]], largest, 1e-6)
    chosen, signs = (coefs != 0).mean(), pd.concat([(coefs > 0).sum(), (coefs < 0).sum()], axis=1)
    summary = pd.DataFrame(
        dict(mean=coefs.mean(), median=coefs.median(), chosen=chosen, sign=(signs.max(axis=1) / signs.sum(axis=1)).fillna(0))
    ).loc[expected["term"]]
    close(table[["mean", "median"]], summary[["mean", "median"]], largest, 1e-6)
    close(table[["selection_frequency", "sign_consistency"]], summary[["chosen", "sign"]])


def same_importance(table: pd.DataFrame, d: dict) -> None:
    "feature_importance.csv."
    size = d["coefs"].abs().mean().sort_values(ascending=False, kind="stable")
    bounds, largest = next(iter(d["bounds"].values())).loc[size.index], np.abs(d["coef"]).max()
    assert list(table.columns) == "rank term mean_abs_coef selection_frequency interval_distance_from_zero kept".split()
    assert list(table["rank"]) == list(range(1, len(size) + 1)) and list(table["term"]) == list(size.index)
    close(table["mean_abs_coef"], size, largest, 1e-6)
    close(table["selection_frequency"], (d["coefs"] != 0).mean().loc[size.index])
    close(table["interval_distance_from_zero"], np.maximum(bounds["low"], -bounds["high"]), largest, 1e-6)
    assert list(table["kept"]) == [t in d["kept"] for t in size.index]


def same_best_model(best, d: dict, predictors: pd.DataFrame, y: pd.Series) -> None:
    derived, model = d["best"], best.bundle["model"]
    assert list(best.terms) == best.bundle["feature_names"] == derived["terms"] and best.bundle["formula"] == " + ".join(derived["terms"])
    np.testing.assert_allclose(model.alpha_, derived["alpha"], rtol=1e-9)
    close(model.coef_, derived["coef"], share=1e-6, scale=0)
    close(model.intercept_, derived["intercept"], share=1e-6)
    close([best.r2], [derived["r2"]], share=1e-7)
    close(model.score(design_for(best.bundle, predictors).to_numpy(), y), derived["r2"], share=1e-7)


def same_table(table: pd.DataFrame, rows: list[dict]) -> None:
    expected = pd.DataFrame(rows)
    assert list(table.columns) == list(expected.columns) and len(table) == len(expected)
    for name in expected:
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(table[name].astype(float), expected[name], rtol=1e-6, atol=1e-9)
        else:
            assert list(table[name]) == list(expected[name])


def same_selection(table: pd.DataFrame, d: dict) -> None:
    "final_selection.csv."
    selected = d["significance"]["selected"]
    assert list(table.columns) == ["term", "selected", "reason", "term_to_use"] and list(table["term"]) == list(selected)
    assert list(table["selected"]) == list(selected.values())
    assert list(table["term_to_use"]) == [t if use else t.split(":")[1] for t, use in selected.items()]


def same_run(result, d: dict) -> None:
    "A RunResult against the derivation."
    assert result.seed == d["seed"] and list(result.design.terms) == d["terms"] and list(result.dropout_rounds) == d["rounds"]
    same_preprocessing(result.data, d)
    np.testing.assert_array_equal(result.design.strata, d["all_data"]["strata"])
    same_resamples(d["all_data"], d["seed"])
    same_stage(result.all_data, d["all_data"])
    same_best_model(result.best_model, d, d["predictors"], d["y"])
    assert list(result.topn_data.genes) == d["top"]
    same_resamples(d["topn"], d["seed"] + 10)
    same_stage(result.topn, d["topn"])
    same_table(result.significance, d["significance"]["results"])
    same_table(result.comparison, d["significance"]["folds"])
    same_selection(result.final_selection, d)
    assert list(result.survivors) == list(d["significance"]["selected"])


# ---------------------------------------------------------------- comparison, file by file


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def stage_files(folder: Path, stage: str, level: float) -> SimpleNamespace:
    "The files of one stage with the names of a result's attributes, so that same_stage compares them."
    objects, tables = folder / f"{stage}_result_object", folder / f"{stage}_results"
    files = dict(ci_dict_json=objects / "result_obj_ci.json", coefs_alphas_pkl=objects / "result_obj_coefs_alphas.pkl")
    read_back = BootstrapModelResults.deserialize(**files)
    coefs, alphas = pd.read_pickle(files["coefs_alphas_pkl"])
    draws = pd.read_csv(tables / "bootstrap_coefficients.csv")
    assert list(draws.columns) == ["bootstrap", "alpha", "intercept", *coefs.columns] and coefs.columns.dtype == object
    np.testing.assert_array_equal(draws[list(coefs.columns)], coefs)
    np.testing.assert_array_equal(read_back.bootstrap_coefs_df, coefs)
    assert list(draws["alpha"]) == alphas == read_back.alpha_list and isinstance(alphas, list)
    statistics = pd.read_csv(tables / "model_statistics.csv")
    assert list(statistics.columns)[:6] == ["bootstrap", "alpha", "cv_mse", "r2", "n_nonzero", "converged"]
    return SimpleNamespace(
        terms=list(coefs.columns),
        kept=read_json(folder / f"{stage}_significant_{str(float(level)).replace('.', '-')}.json"),
        ci_dict=read_json(files["ci_dict_json"]),
        alpha_list=alphas,
        bootstrap_coefs_df=draws[list(coefs.columns)],
        statistics=statistics.assign(intercept=draws["intercept"]),
        cv_curve=pd.read_csv(tables / "cv_curve.csv"),
        extract_significant_coefficients=read_back.extract_significant_coefficients,
        confidence_intervals=lambda: pd.read_csv(tables / "confidence_intervals.csv"),
        feature_importance=lambda: pd.read_csv(tables / "feature_importance.csv"),
    )


def same_stage_files(folder: Path, stage: str, level: float, d: dict) -> None:
    files = stage_files(folder, stage, level)
    same_stage(files, d)
    same_bounds(files.kept, d["bounds"][str(float(level))].loc[d["kept"]], np.abs(d["coef"]).max())


def same_best_model_files(folder: Path, d: dict, scale_by_std: bool) -> None:
    "The joblib bundle, and the JSON beside it."
    bundle, facts = joblib.load(folder / "best_all_data_model.pkl"), read_json(folder / "best_all_data_model.json")
    assert set("model feature_names formula perturbed_tf scale_by_std drop_intercept".split()) <= set(bundle)
    assert bundle["perturbed_tf"] == facts["perturbed_tf"] == PTF and bundle["scale_by_std"] is scale_by_std
    same_best_model(SimpleNamespace(terms=bundle["feature_names"], bundle=bundle, r2=facts["r2"]), d, d["predictors"], d["y"])
    assert list(facts["coefficients"]) == d["best"]["terms"]
    close(list(facts["coefficients"].values()), d["best"]["coef"], share=1e-6, scale=0)
    close([facts["intercept"], facts["alpha"]], [d["best"]["intercept"], d["best"]["alpha"]], share=1e-6)
    if scale_by_std:
        close(list(facts["scale"].values()), term_table(d["predictors"], facts["scale"]).std(ddof=0), share=1e-12)
    else:
        assert facts["scale"] is None


def same_significance_files(folder: Path, d: dict) -> None:
    tables, rows = folder / "interactor_significance", d["significance"]["results"]
    same_table(pd.read_csv(tables / "significance_results.csv"), rows)
    same_table(pd.DataFrame(read_json(folder / "interactor_vs_main_result.json")), rows)
    same_table(pd.read_csv(tables / "comparison_statistics.csv"), d["significance"]["folds"])
    same_selection(pd.read_csv(tables / "final_selection.csv"), d)


def same_input_files(folder: Path, d: dict) -> None:
    "input_data/: tables, resamples as rows of processed_response.csv, summary."
    response, predictors = (pd.read_csv(folder / f"processed_{n}.csv", index_col=0) for n in ("response", "predictors"))
    same_preprocessing(SimpleNamespace(genes=response.index, response=response[PTF], predictors=predictors), d)
    assert list(response.columns) == [PTF] and list(predictors.index) == list(response.index)
    drawn, summary = pd.read_csv(folder / "bootstrap_indices.csv", low_memory=False), read_json(folder / "data_summary.json")
    places = {"all_data": np.arange(len(d["y"])), "topn": d["y"].index.get_indexer(d["top"])}
    for stage, rows in places.items():
        mine = drawn[drawn["stage"] == stage]
        assert list(mine["bootstrap"]) == list(range(len(d[stage]["drawn"]))) and mine.iloc[:, 2 + len(rows) :].isna().all(axis=None)
        np.testing.assert_array_equal(mine.iloc[:, 2 : 2 + len(rows)].astype(int), rows[d[stage]["drawn"]])
    assert len(drawn) == 2 * len(d["all_data"]["drawn"])
    assert summary["n_genes"] == len(d["y"]) and summary["n_topn"] == len(d["top"]) and summary["terms"] == d["terms"]
    assert summary["genes_dropped"] == {reason: len(genes) for reason, genes in d["left_out"].items()}
    assert summary["strata"] == {str(s): int((d["all_data"]["strata"] == s).sum()) for s in np.unique(d["all_data"]["strata"])}
    assert summary["n_predictors"] == d["predictors"].shape[1] and summary["response_column"] == summary["perturbed_tf"] == PTF
    assert summary["topn_lowest_binding"] == d["predictors"].loc[d["top"], PTF].min() and summary["dropout_rounds"] == d["rounds"]


def same_manifest(facts: dict, d: dict, files: dict) -> None:
    "run.json: seed, inputs, counts."
    counts = facts["counts"]
    assert facts["status"] == "done" and facts["seed"] == d["seed"] and facts["not_written"] == [] and facts["response_column"] == PTF
    assert {i["option"]: i["sha256"] for i in facts["inputs"]} == {o: hashlib.sha256(p.read_bytes()).hexdigest() for o, p in files.items()}
    assert (counts["genes"], counts["genes_topn"], counts["terms"]) == (len(d["y"]), len(d["top"]), len(d["terms"]))
    assert (counts["terms_kept_all_data"], counts["terms_kept_topn"]) == (len(d["all_data"]["kept"]), len(d["topn"]["kept"]))
    selected = d["significance"]["selected"]
    assert (counts["survivors"], counts["selected"]) == (len(selected), sum(selected.values())) and facts["survivors"] == list(selected)
    assert counts["genes_bound"] == (d["predictors"][PTF] > d["predictors"][PTF].min()).sum()
    assert counts["not_converged_all_data"] == counts["not_converged_topn"] == 0


def same_directory(folder: Path, d: dict, config: Config, files: dict) -> None:
    "Every file of a run directory against the derivation."
    same_stage_files(folder, "all_data", config.all_data_ci_level, d["all_data"])
    same_stage_files(folder, "topn", config.topn_ci_level, d["topn"])
    same_best_model_files(folder, d, config.scale_by_std)
    same_significance_files(folder, d)
    same_input_files(folder / "input_data", d)
    same_manifest(read_json(folder / "run.json"), d, files)


# name -> (options of the run, the same for the derivation)
VARIANTS = {
    "default": ({}, {}),
    "stage4_topn": (dict(stage4_topn=True), dict(on_topn=True)),
    "stage4_lasso": (dict(stage4_lasso=True), dict(in_one_lasso=True)),
    "stage4_lasso_topn_scaled": (
        dict(stage4_lasso=True, stage4_topn=True, scale_by_std=True),
        dict(in_one_lasso=True, on_topn=True, scale_by_std=True),
    ),
    "scaled": (dict(scale_by_std=True), dict(scale_by_std=True)),
    "dropout": (dict(iterative_dropout=True, stabilization_ci_start=70), dict(dropout_level=70)),
    "all_terms": (
        dict(
            row_max=True,
            squared_pTF=True,
            cubic_pTF=True,
            ptf_main_effect=True,
            exclude_interactor_variables="TF8,covariate",
            add_model_variables="covariate,TF5:TF6,I(TF4 ** 2)",
            bins="0,20,60,np.inf",
            scale_by_std=True,
            iterative_dropout=True,
            all_data_ci_level=85,
            topn_ci_level=80,
            top_n=80,
        ),
        dict(
            first=[PTF],
            last=["I(TF1 ** 2)", "I(TF1 ** 3)", "row_max", "covariate", "TF5:TF6", "I(TF4 ** 2)"],
            without=["TF8", "covariate"],
            bins=(0, 20, 60, math.inf),
            scale_by_std=True,
            dropout_level=50,
            all_data_ci_level=85.0,
            topn_ci_level=80.0,
            top_n=80,
        ),
    ),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_a_run_is_what_scikit_learn_gives(variant, inputs, tmp_path):
    options, same = VARIANTS[variant]
    files = {"response_file": "response.csv", "predictors_file": "predictors.csv", "blacklist_file": "blacklist.txt"}
    files = {option: inputs / name for option, name in files.items()}
    config = Config(**files, perturbed_tf=PTF, **{**dict(n_bootstraps=24, random_state=7, top_n=100, n_cpus=2), **options})
    derived = derive(files["response_file"], files["predictors_file"], blacklist=["Y030W", "Y031W"], **same)
    assert derived["significance"]["results"]  # the example reaches stage 5
    result = run(config, progress=False)
    same_run(result, derived)
    write_run(tmp_path, result)
    same_directory(tmp_path, derived, config, files)
    same_run(read_back(tmp_path), derived)


def read_back(folder: Path):
    "The run as read_run gives it, with the bundle from its pickle."
    result = read_run(folder)
    bundle = joblib.load(folder / "best_all_data_model.pkl")
    best = dataclasses.replace(result.best_model, model=bundle["model"], scaler=bundle["scaler"])
    return dataclasses.replace(result, best_model=best)
