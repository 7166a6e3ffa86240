"""Every option changes the model as its help says, seen on the resulting model."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.bootstrap_model_results import intervals
from tfbpmodeling.config import (
    INFERENCE_METHODS,
    Config,
    InputError,
    choose,
    line_from_names,
    listed,
    names_from_line,
    parse_term,
    term_factors,
)
from tfbpmodeling.inference import METHODS
from tfbpmodeling.interactor_significance import interactor_significance
from tfbpmodeling.modeling_data import load_modeling_data
from tfbpmodeling.workflow import RunResult, design_for, make_plan, run

FACTORS = [f"T{j}" for j in range(1, 7)]
WEAK = "T4,T5,T6,cov"  # variables without a planted interaction
INTERACTIONS = ["T1:T2", "T1:T3", "T1:T4", "T1:T5", "T1:T6", "T1:cov"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    "160 genes, binding of 6 factors and a covariate, response 1.2 T1·T2 − 0.9 T1·T3 + 0.8 T4 + noise."
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.RandomState(3)
    genes = [f"g{i:03d}" for i in range(159)] + ["T1"]
    x = pd.DataFrame(rng.lognormal(0, 0.5, (160, 7)), index=genes, columns=[*FACTORS, "cov"])
    y = 1.2 * x["T1"] * x["T2"] - 0.9 * x["T1"] * x["T3"] + 0.8 * x["T4"] + rng.normal(0, 1, 160)
    x.to_csv(folder / "predictors.csv")
    y.rename("T1").to_csv(folder / "response.csv")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    "A function of options that gives the finished run; equal options are run once."

    @functools.cache
    def fitted(**options) -> RunResult:
        return run(config_of(folder, **options), progress=False)

    return fitted


def config_of(folder: Path, **options) -> Config:
    basic = dict(response_file=folder / "response.csv", predictors_file=folder / "predictors.csv", perturbed_tf="T1", n_cpus=1)
    return Config(**{**basic, **dict(n_bootstraps=20, random_state=5, top_n=90), **options})


def tables(folder: Path) -> tuple[pd.Series, pd.DataFrame]:
    "What the run models: response and predictors of all genes but T1."
    y, x = (pd.read_csv(folder / f"{n}.csv", index_col=0).drop("T1").sort_index() for n in ("response", "predictors"))
    return y["T1"], x


def same_numbers(a: RunResult, b: RunResult) -> None:
    "Nothing that was computed differs, to the bit."
    for one, other in ((a.all_data, b.all_data), (a.topn, b.topn)):
        pd.testing.assert_frame_equal(one.bootstrap_coefs_df, other.bootstrap_coefs_df, check_exact=True)
        pd.testing.assert_frame_equal(one.statistics, other.statistics, check_exact=True)
        assert one.alpha_list == other.alpha_list and one.ci_dict == other.ci_dict
    np.testing.assert_array_equal(a.best_model.coef, b.best_model.coef)
    for table in ("significance", "comparison", "final_selection"):
        pd.testing.assert_frame_equal(getattr(a, table), getattr(b, table), check_exact=True)


def differ(a: RunResult, b: RunResult) -> bool:
    return a.all_data.alpha_list != b.all_data.alpha_list


def warned(result: RunResult, text: str) -> bool:
    return any(text in note for note in result.warnings)


# ---------------------------------------------------------------- terms


def test_without_options_the_terms_are_the_interactions(model):
    assert model().all_data.terms == INTERACTIONS and set(model().survivors) >= {"T1:T2", "T1:T3"}


@pytest.mark.parametrize(
    "option, term, values",
    [
        ("ptf_main_effect", "T1", lambda x: x["T1"]),
        ("squared_pTF", "I(T1 ** 2)", lambda x: x["T1"] ** 2),
        ("cubic_pTF", "I(T1 ** 3)", lambda x: x["T1"] ** 3),
        ("row_max", "row_max", lambda x: x.max(axis=1)),
    ],
)
def test_a_switch_adds_one_term_with_its_values(model, folder, option, term, values):
    result = model(**{option: True})
    expected = [term, *INTERACTIONS] if option == "ptf_main_effect" else [*INTERACTIONS, term]
    assert result.all_data.terms == expected
    np.testing.assert_allclose(result.design.frame[term], values(tables(folder)[1]), rtol=1e-14)
    assert (result.all_data.bootstrap_coefs_df[term] != 0).any()


def test_row_max_at_top_n_is_that_of_the_gene(model):
    result = model(row_max=True, all_data_ci_level=1)
    assert "row_max" in result.topn.terms  # 1 % keeps whatever leans to one side
    np.testing.assert_array_equal(result.topn_data.predictors.max(axis=1), result.data.predictors.loc[result.topn_data.genes].max(axis=1))


def test_excluded_variables_get_no_interaction_but_still_count_for_row_max(model, folder):
    result = model(exclude_interactor_variables="T4,cov", row_max=True)
    assert result.all_data.terms == ["T1:T2", "T1:T3", "T1:T5", "T1:T6", "row_max"]
    np.testing.assert_array_equal(result.design.frame["row_max"], tables(folder)[1].max(axis=1))


def test_exclude_all_leaves_the_other_terms(model):
    assert model(exclude_interactor_variables="exclude_all", squared_pTF=True).all_data.terms == ["I(T1 ** 2)"]


def test_exclude_all_alone_leaves_nothing_to_model(folder):
    with pytest.raises(InputError, match="no term is left"):
        run(config_of(folder, exclude_interactor_variables="exclude_all"), progress=False)


@pytest.mark.parametrize(
    "option, wrong", [("exclude_interactor_variables", "T9"), ("add_model_variables", "T2:T9"), ("add_model_variables", "I(T2 ** 4)")]
)
def test_unknown_variables_are_refused(folder, option, wrong):
    with pytest.raises(InputError, match=option):
        run(config_of(folder, **{option: wrong}), progress=False)


def test_added_variables_are_terms_with_their_values(model, folder):
    result, (_, x) = model(add_model_variables="T4,T2:T3,I(T5 ** 2)"), tables(folder)
    assert result.all_data.terms == [*INTERACTIONS, "T4", "T2:T3", "I(T5 ** 2)"]
    made = result.design.frame[["T4", "T2:T3", "I(T5 ** 2)"]].to_numpy()
    np.testing.assert_allclose(made, np.column_stack([x["T4"], x["T2"] * x["T3"], x["T5"] ** 2]), rtol=1e-14)
    assert "T4" in model(add_model_variables="T4", exclude_interactor_variables=WEAK).all_data.kept  # the planted main effect


def test_an_added_variable_leaves_its_interaction_unless_that_is_excluded(model):
    assert "T1:T4" in model(add_model_variables="T4").all_data.terms
    assert "T1:T4" not in model(add_model_variables="T4", exclude_interactor_variables="T4").all_data.terms


@pytest.mark.parametrize("label", ["T1:T9", "T1 - 1", "__import__('os')", "I(T1 ** 4)", "", ":", "T1:", "I( ** 2)", "ROW_MAX"])
def test_what_is_no_term_is_refused_and_never_evaluated(label):
    assert term_factors(label, FACTORS) is None
    with pytest.raises(InputError, match="neither a predictor column nor a term"):
        parse_term(label, FACTORS)


def test_a_column_is_itself_before_it_is_a_term():
    assert parse_term("T1:T2", ["T1", "T2", "T1:T2"]).factors == ("T1:T2",)
    assert term_factors("T1:T2", ["T1", "T2", "T1:T2"]) == ("T1", "T2")  # how a table with such a column is found out
    assert parse_term("a:b:c", ["a", "b:c"]).factors == ("a", "b:c") and parse_term("I(a:b ** 2)", ["a:b"]).factors == ("a:b", "a:b")
    assert parse_term("row_max", ["a"]).factors == ()


# ---------------------------------------------------------------- values and sentences


@pytest.mark.parametrize("names", [(), ("a",), ("a b", "red, median", 'say "x"', "I(T1 ** 2)")])
def test_names_in_a_line_come_back(names):
    assert names_from_line(line_from_names(names)) == names


def test_a_list_in_a_sentence_counts_what_it_leaves_out():
    assert listed([]) == "" and listed("abc", 3) == "a, b, c" and listed("abcd", 3) == "a, b, c and 1 more"


def test_a_choice_is_refused_with_the_nearest_one():
    choose("missing", "drop", ("error", "drop"))
    with pytest.raises(InputError, match=r"^--missing DROP: choose one of error, drop. Did you mean 'drop'\?$"):
        choose("missing", "DROP", ("error", "drop"))


def test_the_methods_of_inference_are_the_choices_of_the_option():
    assert INFERENCE_METHODS == ("percentile", *METHODS)


@pytest.mark.parametrize("value", [10**400, "1e999", float("nan"), None, [1]])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(InputError, match="--top_n .*: it must be a whole number"):
        Config(top_n=value)


# ---------------------------------------------------------------- strata, weights, scale


def test_bins_change_strata_and_folds_of_stages_2_to_5(model, folder):
    plain, other = model(exclude_interactor_variables=WEAK), model(exclude_interactor_variables=WEAK, bins="0,30,60,np.inf")
    assert np.bincount(plain.design.strata).tolist() == [0, 8, 4, 147] and np.bincount(other.design.strata).tolist() == [0, 30, 30, 99]
    np.testing.assert_array_equal(plain.design.X, other.design.X)
    assert plain.topn.terms == other.topn.terms  # the same terms, genes and resamples at stage 4: what differs are the folds
    assert differ(plain, other) and plain.topn.alpha_list != other.topn.alpha_list
    assert plain.best_model.alpha != other.best_model.alpha or not np.array_equal(plain.best_model.coef, other.best_model.coef)
    assert not np.allclose(plain.comparison["r2_interactor"], other.comparison["r2_interactor"])


def test_bins_that_leave_a_gene_out_are_refused(folder):
    for bins, edge in (("0,50,100", "last edge 100"), ("1,50,np.inf", "first edge 1")):
        with pytest.raises(InputError, match=edge):
            run(config_of(folder, bins=bins), progress=False)


def test_normalize_sample_weights_changes_no_number(model):
    same_numbers(model(), model(normalize_sample_weights=True))


@pytest.fixture(scope="module")
def scaled_pair(model) -> tuple[RunResult, RunResult]:
    "Only the planted interactors are terms, so that both keep the same and stages 3 to 5 can be compared."
    plain, scaled = model(exclude_interactor_variables=WEAK), model(exclude_interactor_variables=WEAK, scale_by_std=True)
    assert plain.topn.terms == scaled.topn.terms and plain.survivors == scaled.survivors
    return plain, scaled


def test_scale_by_std_divides_every_term_by_its_standard_deviation(scaled_pair):
    plain, scaled = scaled_pair
    np.testing.assert_allclose(scaled.design.X.std(axis=0), 1)
    np.testing.assert_allclose(scaled.design.X * plain.design.X.std(axis=0), plain.design.X, rtol=1e-12)


def test_scale_by_std_multiplies_coefficients_by_the_deviation_of_the_rows_in_use(scaled_pair):
    "To within the change of the penalty; in the top-N stage the deviation is that of the top-N rows."
    plain, scaled = scaled_pair
    for stage, rows in (("all_data", plain.data), ("topn", plain.topn_data)):
        terms = plain.topn.terms[:2]
        sd = pd.Series({t: (rows.predictors["T1"] * rows.predictors[t[3:]]).std(ddof=0) for t in terms})
        ours, theirs = (getattr(r, stage).bootstrap_coefs_df[terms].median() for r in (scaled, plain))
        np.testing.assert_allclose(ours / (theirs * sd), 1, atol=0.15)


def test_scale_by_std_leaves_the_r2_of_stage_5_as_it_is(scaled_pair):
    plain, scaled = scaled_pair
    pd.testing.assert_frame_equal(plain.significance, scaled.significance, rtol=1e-9)
    pd.testing.assert_frame_equal(plain.comparison, scaled.comparison, rtol=1e-9)


def test_scale_by_std_reaches_the_lasso_of_stage_5(model):
    "There the penalty sees the scale: coefficients are those of terms with deviation 1."
    plain, scaled = (model(exclude_interactor_variables=WEAK, stage4_lasso=True, scale_by_std=s) for s in (False, True))
    sd = np.array([(plain.data.predictors["T1"] * plain.data.predictors[v]).std(ddof=0) for v in scaled.significance["variant"]])
    ratio = scaled.significance["coef_interactor"] / plain.significance["coef_interactor"] / sd
    np.testing.assert_allclose(ratio[:2], 1, atol=0.15)


def test_the_bundle_of_a_scaled_run_holds_the_scaler_and_predicts_the_same(scaled_pair, folder):
    (plain, scaled), (_, x) = scaled_pair, tables(folder)
    best = scaled.best_model
    assert (
        best.bundle["scale_by_std"] is True
        and plain.best_model.bundle["scale_by_std"] is False
        and plain.best_model.bundle["scaler"] is None
    )
    X = design_for(best.bundle, x)
    np.testing.assert_allclose(X.std(ddof=0), 1)
    np.testing.assert_allclose(best.bundle["model"].predict(X.to_numpy()), best.predict(x), rtol=1e-12)
    by_hand = best.intercept + sum(c / s * x["T1"] * x[t[3:]] for c, s, t in zip(best.coef, best.scale, best.terms))
    np.testing.assert_allclose(best.predict(x), by_hand, rtol=1e-12)
    np.testing.assert_allclose(best.predict(x.iloc[:7]), best.predict(x)[:7], rtol=1e-12)  # the scale is the fit's, not the new rows'


# ---------------------------------------------------------------- levels, dropout


def test_the_levels_decide_what_is_kept_and_change_no_draw(model):
    wide, narrow = model(all_data_ci_level=99.5), model(all_data_ci_level=5)
    assert wide.all_data.alpha_list == narrow.all_data.alpha_list and len(wide.all_data.kept) < len(narrow.all_data.kept)
    assert next(iter(narrow.all_data.ci_dict)) == "5.0" and narrow.topn.terms == list(narrow.all_data.kept)
    wide, narrow = model(all_data_ci_level=5, topn_ci_level=99), model(all_data_ci_level=5, topn_ci_level=20)
    assert wide.topn.alpha_list == narrow.topn.alpha_list and len(wide.topn.kept) < len(narrow.topn.kept)
    assert set(narrow.significance["interactor"]) == set(narrow.topn.kept) and next(iter(narrow.topn.ci_dict)) == "20.0"


def test_dropout_ends_with_fewer_terms_that_all_pass(model):
    plain, dropped = model(all_data_ci_level=90), model(all_data_ci_level=90, iterative_dropout=True, stabilization_ci_start=70)
    rounds = dropped.dropout_rounds
    assert plain.dropout_rounds == () and rounds[0] == 6 and rounds[-1] == len(dropped.all_data.terms) < 6
    assert all(more > fewer for more, fewer in zip(rounds, rounds[1:]))
    assert set(dropped.all_data.extract_significant_coefficients(70)) == set(dropped.all_data.terms)
    assert dropped.all_data.ci_level == 90 and set(dropped.all_data.kept) <= set(dropped.all_data.terms)


def test_a_stricter_dropout_level_leaves_fewer_terms(model):
    counts = [len(model(iterative_dropout=True, stabilization_ci_start=c).all_data.terms) for c in (5, 50, 95)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def noise(folder: Path, **options) -> RunResult:
    "A run in which the response has nothing to do with binding."
    config = config_of(folder, **options)
    data = load_modeling_data(config)
    y = pd.Series(np.random.RandomState(11).standard_normal(data.n_genes), index=data.response.index, name="T1")
    return run(config, data=dataclasses.replace(data, response=y), progress=False)


def test_dropout_that_keeps_nothing_is_a_result(folder):
    result = noise(folder, iterative_dropout=True, stabilization_ci_start=95)
    assert result.all_data.kept == {} and result.dropout_rounds[0] == 6
    assert result.best_model is None and result.topn is None and result.significance.empty and result.survivors == ()
    assert "kept none" in result.verdict and result.outcomes["all_data"] == "nothing significant"


def test_noise_ends_without_survivors_and_without_an_error(folder):
    result = noise(folder)
    assert result.survivors == () and result.significance.empty and list(result.significance.columns)[0] == "interactor"


# ---------------------------------------------------------------- stage 5, top N


def test_stage4_lasso_puts_main_effects_beside_the_interactors(model):
    plain, lasso = model(), model(stage4_lasso=True)
    assert list(plain.significance.columns) == ["interactor", "variant", "avg_r2_interactor", "avg_r2_main_effect", "delta_r2"]
    assert (
        list(lasso.significance.columns) == "interactor variant r2_lasso_model coef_interactor coef_main_effect cv_r2_lasso_model".split()
    )
    assert lasso.topn.kept == plain.topn.kept and set(lasso.significance["variant"]) == {t[3:] for t in lasso.survivors}
    coefs = lasso.significance.set_index("interactor")
    expected = coefs["coef_interactor"].abs() > coefs["coef_main_effect"].abs()
    assert list(lasso.final_selection["selected"]) == list(expected) and {"T1:T2", "T1:T3"} <= set(lasso.selected)


def test_stage4_lasso_gives_the_same_whatever_the_order_of_columns(folder):
    "Fixed order: kept terms, then main effects; no set decides."
    config = config_of(folder, stage4_lasso=True)
    data = load_modeling_data(config)
    mixed = dataclasses.replace(data, predictors=data.predictors[["cov", "T6", "T3", "T1", "T2", "T5", "T4"]])
    a, b = (run(config, data=d, progress=False).significance.set_index("interactor").sort_index() for d in (data, mixed))
    pd.testing.assert_frame_equal(a, b, rtol=1e-6)


@pytest.mark.parametrize("lasso", [False, True])
def test_stage4_topn_uses_the_top_genes_only(model, lasso):
    everyone, top = model(stage4_lasso=lasso), model(stage4_lasso=lasso, stage4_topn=True)
    same = dataclasses.replace(everyone.config, stage4_topn=False, top_n=10_000)
    assert everyone.topn.kept == top.topn.kept and not everyone.significance.iloc[:, 2:].equals(top.significance.iloc[:, 2:])
    alone = interactor_significance(top.topn_data, tuple(top.topn.kept), same).results
    pd.testing.assert_frame_equal(alone, top.significance)


def test_top_n_takes_the_strongest_genes(model, folder):
    result, (_, x) = model(top_n=40), tables(folder)
    assert set(result.topn_data.genes) == set(x["T1"].nlargest(40).index) and list(result.topn_data.genes) == sorted(result.topn_data.genes)
    assert result.all_data.alpha_list == model().all_data.alpha_list and result.topn.alpha_list != model().topn.alpha_list


def tied(folder: Path, binding: list[float], **options) -> RunResult:
    config = config_of(folder, n_bootstraps=10, **options)
    data = load_modeling_data(config)
    x = data.predictors.assign(T1=np.resize(binding, data.n_genes))
    return run(config, data=dataclasses.replace(data, predictors=x), progress=False)


def test_a_tie_at_the_cut_takes_fewer_genes(folder):
    "53 genes each at 3, 2 and 1: 100 is between one tie group and two, 106 is two."
    assert tied(folder, [1.0, 2.0, 3.0], top_n=100).topn_data.n_genes == 53
    assert tied(folder, [1.0, 2.0, 3.0], top_n=106).topn_data.n_genes == 106
    assert tied(folder, [1.0, 2.0, 3.0], top_n=53).topn_data.n_genes == 53


def test_a_first_tie_larger_than_top_n_is_an_error_that_says_so(folder):
    with pytest.raises(InputError, match="53 genes share the strongest binding"):
        tied(folder, [1.0, 2.0, 3.0], top_n=52)


# ---------------------------------------------------------------- rows


def test_blacklisted_genes_are_left_out(model, folder):
    (folder / "blacklist.txt").write_text("g000\n\n  g001  \nnowhere\n")
    result = model(blacklist_file=folder / "blacklist.txt")
    assert result.data.dropped["blacklisted"] == ("g000", "g001") and result.data.n_genes == model().data.n_genes - 2
    assert not {"g000", "g001"} & set(result.data.genes) and differ(result, model())


def test_missing_values_stop_the_run_or_are_dropped_and_counted(folder, tmp_path):
    x = pd.read_csv(folder / "predictors.csv", index_col=0)
    x.loc["g004", "T3"], x.loc["g009", "cov"] = np.nan, np.inf
    x.to_csv(tmp_path / "gaps.csv")
    with pytest.raises(InputError, match="--missing drop"):
        run(config_of(folder, predictors_file=tmp_path / "gaps.csv"), progress=False)
    result = run(config_of(folder, predictors_file=tmp_path / "gaps.csv", missing="drop"), progress=False)
    assert result.data.dropped["missing values"] == ("g004", "g009") and result.data.n_genes == 157


@pytest.mark.parametrize("how", ["log1p", "rank", "quantile"])
def test_transforms_are_applied_to_every_column_before_terms_are_made(model, folder, how):
    result, (_, x) = model(transform_predictors=how), tables(folder)
    made = {
        "log1p": np.log(1 + x),
        "rank": (x.rank(method="min") - 1) / (len(x) - 1),
        "quantile": x.rank(method="first").astype(int).apply(lambda r: r.map(dict(enumerate(np.sort(x, axis=0).mean(axis=1), 1)))),
    }[how]
    np.testing.assert_allclose(result.design.frame["T1:T2"], made["T1"] * made["T2"], rtol=1e-9)
    assert result.data.transform == how and list(result.topn_data.genes) == list(model().topn_data.genes)  # order of binding is kept


def test_neglog10p_turns_small_p_values_into_strong_binding(folder, tmp_path):
    rng, x = np.random.RandomState(0), pd.read_csv(folder / "predictors.csv", index_col=0)
    p = pd.DataFrame(rng.uniform(size=x.shape) ** np.where(rng.uniform(size=x.shape) < 0.2, 6, 1), index=x.index, columns=x.columns)
    p.to_csv(tmp_path / "p.csv")
    config = config_of(folder, predictors_file=tmp_path / "p.csv", top_n=40)
    raw, turned = (run(dataclasses.replace(config, transform_predictors=how), progress=False) for how in ("none", "neglog10p"))
    np.testing.assert_allclose(turned.data.predictors, -np.log10(p.drop("T1").sort_index()), rtol=1e-9)
    assert warned(raw, "looks like p-values") and not warned(turned, "looks like p-values")
    assert set(raw.topn_data.genes) == set(p["T1"].drop("T1").nlargest(40).index)
    assert set(turned.topn_data.genes) == set(p["T1"].drop("T1").nsmallest(40).index)


def test_gene_names_are_shown_and_change_no_id(model, folder):
    pd.DataFrame({"id": ["T2", "T3", "T1"], "name": ["FKH2", "<b>", "GAL4"]}).to_csv(folder / "names.csv", index=False)
    result = model(gene_names=folder / "names.csv")
    same_numbers(result, model())
    assert "GAL4" in result.verdict and "FKH2" in result.verdict and "T1:T2" in result.all_data.terms
    page = result._repr_html_()
    assert "FKH2" in page and "&lt;b&gt;" in page and "<b>," not in page and result.data.name("g000") == "g000"


# ---------------------------------------------------------------- seeds, solver, threads


def test_seed_0_is_a_seed(model):
    zero, one, again = model(random_state=0), model(random_state=1), model(random_state=0, n_cpus=2)
    assert zero.seed == 0 and differ(zero, one)
    same_numbers(zero, again)


def test_without_a_seed_one_is_drawn_and_recorded(folder, model):
    drawn = [run(config_of(folder, random_state=None), progress=False) for _ in range(2)]
    assert drawn[0].seed != drawn[1].seed and differ(*drawn) and drawn[0].config.random_state is None
    same_numbers(drawn[0], model(random_state=drawn[0].seed))


def test_the_largest_seed_works(model):
    assert model(random_state=2**32 - 11).seed == 2**32 - 11


def test_the_number_of_threads_changes_no_number(model):
    same_numbers(model(n_cpus=1), model(n_cpus=2))


def test_max_iter_1_is_counted_and_warned(model):
    result = model(max_iter=1)
    assert result.counts["not_converged_all_data"] == 20 and not result.all_data.statistics["converged"].any()
    assert warned(result, "20 of 20 bootstraps did not converge") and warned(result, "--max_iter 1 is outside")
    assert model().counts["not_converged_all_data"] == 0 and not warned(model(), "did not converge")


def test_n_bootstraps_are_the_first_of_more(model):
    few, many = model(n_bootstraps=20), model(n_bootstraps=30)
    assert many.all_data.alpha_list[:20] == few.all_data.alpha_list and len(many.all_data.alpha_list) == 30
    pd.testing.assert_frame_equal(many.all_data.bootstrap_coefs_df[:20], few.all_data.bootstrap_coefs_df)
    assert many.all_data.kept == {t: b for t, b in intervals(many.all_data.bootstrap_coefs_df, 98).items() if b[0] > 0 or b[1] < 0}


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    "options, text",
    [
        (dict(n_bootstraps=20), "--n_bootstraps 20 is outside the usual range 100 to 10000"),
        (dict(all_data_ci_level=60), "--all_data_ci_level 60 is outside the usual range"),
        (dict(topn_ci_level=79), "--topn_ci_level 79 is outside the usual range"),
        (dict(max_iter=500), "--max_iter 500 is outside the usual range"),
        (dict(stabilization_ci_start=96), "--stabilization_ci_start 96 is outside the usual range"),
        (dict(n_bootstraps=20), "too few for --all_data_ci_level 98: fewer than 5 draws"),
        (dict(top_n=159), "stage 4 is stage 2 again with another seed"),
        (dict(top_n=90), "stage 4 has only 90 genes"),
    ],
)
def test_a_plan_that_is_unusual_is_said(model, options, text):
    assert warned(model(**options), text)


def test_a_usual_plan_is_not_warned_about(folder):
    result = run(config_of(folder, n_bootstraps=500, top_n=120), progress=False)
    assert not warned(result, "--")


@pytest.mark.parametrize("level, enough", [(98.0, 500), (90.0, 100), (95.0, 200), (99.9, 10_000), (99.8, 5_000), (97.6, 417)])
def test_the_number_of_bootstraps_that_a_warning_asks_for_is_enough(folder, level, enough):
    "n·(100 − level)/200 ≥ 5."
    few = config_of(folder, n_bootstraps=enough - 1, all_data_ci_level=level, topn_ci_level=90)
    data = load_modeling_data(few)
    notes = [n for n in make_plan(data, few).warnings if "all_data_ci_level" in n and "too few" in n]
    assert len(notes) == 1 and notes[0].endswith(f"use at least {enough}")
    there = make_plan(data, dataclasses.replace(few, n_bootstraps=enough)).warnings
    assert not [n for n in there if "all_data_ci_level" in n and "too few" in n]


def test_fewer_bound_genes_than_terms_is_said(folder):
    config = config_of(folder, n_bootstraps=10, top_n=10_000)
    data = load_modeling_data(config)
    x = data.predictors.assign(T1=np.r_[[3.0, 2.0, 1.0, 4.0], np.zeros(data.n_genes - 4)])
    result = run(config, data=dataclasses.replace(data, predictors=x), progress=False)
    assert warned(result, "T1 binds 4 genes, fewer than the 6 terms") and result.counts["genes_bound"] == 4


def test_a_term_that_rests_on_a_handful_of_genes_is_said(folder):
    "Evenly spread binding, then three genes that T2 binds sixty times as strongly."
    config = config_of(folder, top_n=10_000)
    data = load_modeling_data(config)
    even = data.predictors.rank(pct=True)
    few = even.copy()
    few.iloc[:3, few.columns.get_loc("T2")] = 60.0
    notes = []
    for x in (even, few):
        y = data.response * 0 + 3 * x["T1"] * x["T2"] + np.random.RandomState(0).normal(0, 0.3, data.n_genes)
        result = run(config, data=dataclasses.replace(data, predictors=x, response=y), progress=False)
        assert "T1:T2" in result.all_data.kept
        notes.append([n.partition(":")[0] for n in result.warnings if "5 genes carry" in n and "spread of T1:T2" in n])
    assert notes == [[], ["stage 2", "stage 4"]]


def test_warnings_appear_once_and_are_plain_sentences(model):
    notes = model(n_bootstraps=20, top_n=159, max_iter=500).warnings
    assert len(set(notes)) == len(notes) and all(isinstance(n, str) and "\n" not in n for n in notes)
