"""Generated data with known truth: the same everywhere, shaped like real tables, and true to its options."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import (
    TABLE_FILES,
    SimulationConfig,
    gene_ids,
    random_stream,
    read_truth,
    score_against_truth,
    signal_scale,
    simulate_interactions,
    simulate_predictors,
    term_columns,
    tf_names,
)

SMALL = dict(n_genes=400, n_tfs=15, n_interactors=3, n_main_effects=1)


def small(**options):
    return simulate_interactions(SimulationConfig(**(SMALL | options)))


def fitted_of(data, ptf):
    "The planted part of the response, derived from the truth alone."
    one = data.truth["perturbed"][ptf]
    fitted = np.full(len(data.response), one["intercept"])
    for term, coef in one["interactors"].items():
        a, b = term.split(":")
        fitted += coef * data.predictors[a].to_numpy() * data.predictors[b].to_numpy()
    for name, coef in one["main_effects"].items():
        fitted += coef * data.predictors[name].to_numpy()
    return fitted + one["ptf_main_effect"] * data.predictors[ptf].to_numpy()


def r2_of(data, ptf):
    y = data.response[ptf].to_numpy()
    return 1 - np.sum((y - fitted_of(data, ptf)) ** 2) / np.sum((y - y.mean()) ** 2)


# ---- reproducible -----------------------------------------------------------------------------


def test_same_seed_same_data():
    a, b = small(n_perturbed=2, red_median=True), small(n_perturbed=2, red_median=True)
    pd.testing.assert_frame_equal(a.response, b.response, check_exact=True)
    pd.testing.assert_frame_equal(a.predictors, b.predictors, check_exact=True)
    assert a.truth == b.truth


def test_global_random_state_plays_no_part():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    a = small()
    np.random.seed(2)  # noqa: NPY002
    pd.testing.assert_frame_equal(a.response, small().response, check_exact=True)
    np.random.seed(1)  # noqa: NPY002
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_streams_are_pcg64_of_the_documented_seed_sequence():
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7, spawn_key=(3, 2)))).standard_normal(5)
    assert (random_stream(7, "noise", 2).standard_normal(5) == expected).all()


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_distinct_seeds_differ(seed):
    a, b = small(), small(random_state=seed)
    assert not a.predictors.equals(b.predictors) and not a.response.equals(b.response)
    assert list(a.predictors.columns) == list(b.predictors.columns) and list(a.predictors.index) == list(b.predictors.index)


def test_the_response_options_leave_binding_and_chosen_factors_alone():
    a, b = small(), small(signal_fraction=0.6, noise_df=8, noise_sd=1.0)
    assert a.predictors.equals(b.predictors)
    one, two = a.truth["perturbed"]["XAB1"], b.truth["perturbed"]["XAB1"]
    assert list(one["interactors"]) == list(two["interactors"]) and list(one["main_effects"]) == list(two["main_effects"])


def test_the_covariate_leaves_binding_and_response_alone():
    a, b = small(), small(red_median=True)
    assert list(b.predictors.columns) == [*a.predictors.columns, "red_median"]
    assert a.predictors.equals(b.predictors.drop(columns="red_median")) and a.response.equals(b.response)


# ---- the truth holds --------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.29, 0.5, 0.95])
@pytest.mark.parametrize("seed", [0, 42])
def test_realised_r2_is_the_option(fraction, seed):
    data = small(signal_fraction=fraction, random_state=seed, ptf_main_effect=-0.5, n_perturbed=2)
    for ptf in data.perturbed_tfs:
        assert r2_of(data, ptf) == pytest.approx(fraction, abs=1e-6)
        assert data.truth["perturbed"][ptf]["signal_fraction"] == fraction


def test_signal_scale_is_exact_before_rounding():
    rng = np.random.Generator(np.random.PCG64(0))
    for fraction in (1e-4, 0.2, 0.999):
        f, e = rng.exponential(2, 500) + 3, rng.standard_t(3, 500)
        k = signal_scale(f, e, fraction)
        y = k * f + e
        assert k > 0
        assert 1 - np.sum((e - e.mean()) ** 2) / np.sum((y - y.mean()) ** 2) == pytest.approx(fraction, abs=1e-12)
    assert signal_scale(np.ones(5), np.arange(5.0), 0.3) == 0.0


def test_least_squares_on_the_true_terms_recovers_them():
    data = simulate_interactions(SimulationConfig())
    one = data.truth["perturbed"]["XAB1"]
    coefs = pd.Series(one["interactors"] | one["main_effects"])
    X = np.column_stack([np.ones(len(data.response)), term_columns(data.predictors, coefs.index)])
    y = data.response["XAB1"].to_numpy()
    estimate = np.linalg.solve(X.T @ X, X.T @ y)
    se = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * np.sum((y - X @ estimate) ** 2) / (len(y) - X.shape[1]))
    assert (np.abs(estimate[1:] - coefs) < 4 * se[1:]).all()


def test_planted_effects_fall_in_strength_and_have_both_signs():
    config = SimulationConfig()
    data = simulate_interactions(config)
    one = data.truth["perturbed"]["XAB1"]
    assert len(one["interactors"]) == config.n_interactors and len(one["main_effects"]) == config.n_main_effects
    coefs = pd.Series(one["interactors"])
    effect = coefs * term_columns(data.predictors, coefs.index).std()
    assert np.allclose((effect / effect.shift()).dropna(), -config.falloff)
    assert (coefs > 0).any() and (coefs < 0).any()
    assert not {t.split(":")[1] for t in one["interactors"]} & set(one["main_effects"])
    assert one["ptf_main_effect"] == 0.0


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_decoy_looks_like_its_interaction(seed):
    data = simulate_interactions(SimulationConfig(random_state=seed))
    decoy = next(iter(data.truth["perturbed"]["XAB1"]["main_effects"]))
    product = data.predictors[decoy] * data.predictors["XAB1"]
    assert np.corrcoef(product, data.predictors[decoy])[0, 1] > 0.5


def test_ptf_main_effect_sign_and_nothing_planted():
    assert small(ptf_main_effect=-1).truth["perturbed"]["XAB1"]["ptf_main_effect"] < 0
    data = small(n_interactors=0, n_main_effects=0)
    one = data.truth["perturbed"]["XAB1"]
    assert one["interactors"] == one["main_effects"] == {} and one["signal_fraction"] == 0.0
    assert data.response["XAB1"].std() > 0
    only = small(n_interactors=0, n_main_effects=0, ptf_main_effect=1)
    assert r2_of(only, "XAB1") == pytest.approx(0.2, abs=1e-6)


def test_noise_has_its_scale_and_heavy_tails():
    data = simulate_interactions(SimulationConfig(n_genes=10000, noise_sd=0.4, noise_df=5))
    noise = data.response["XAB1"].to_numpy() - fitted_of(data, "XAB1")
    assert abs(noise.mean()) < 1e-6 and noise.std() == pytest.approx(0.4, rel=0.1)
    assert np.mean((noise / noise.std()) ** 4) > 4  # a normal distribution has 3


def test_noise_grows_with_binding_where_asked():
    "The log size of what is left rises with standardised log binding as the option says; the noise keeps its scale."
    options = dict(n_genes=15000, n_interactors=0, n_main_effects=0, noise_df=30)
    plain, noisy = (simulate_interactions(SimulationConfig(**options, noise_binding=slope)) for slope in (0.0, 0.6))
    pd.testing.assert_frame_equal(plain.response, simulate_interactions(SimulationConfig(**options)).response, check_exact=True)
    for data, slope in ((plain, 0.0), (noisy, 0.6)):
        z = np.log(data.predictors["XAB1"] + 0.1)
        size = np.log((data.response["XAB1"] - data.response["XAB1"].mean()).abs() + 1e-9)
        assert np.polyfit((z - z.mean()) / z.std(), size, 1)[0] == pytest.approx(slope, abs=0.04)
        assert data.response["XAB1"].std() == pytest.approx(0.25, rel=0.05)


# ---- shapes and skew --------------------------------------------------------------------------


def test_shapes_and_names():
    data = simulate_interactions(SimulationConfig(n_perturbed=3, red_median=True))
    assert data.response.shape == (2500, 3) and data.predictors.shape == (2500, 51)
    assert list(data.response.columns) == list(data.predictors.columns[:3]) == list(data.perturbed_tfs)
    assert data.response.index.equals(data.predictors.index)
    assert not data.response.isna().any(axis=None) and (data.predictors > -1e-12).all(axis=None)


@pytest.mark.parametrize("n", [200, 201, 2500, 6000, 19980])
def test_gene_ids_are_plain_and_unique(n):
    ids = gene_ids(n)
    assert len(set(ids)) == len(ids) == n and ids == sorted(ids)
    assert pd.Series(ids).str.fullmatch(r"Y[Q-Z][LR]\d{3}[WC]").all()


def test_tf_names_are_plain_and_unique():
    names = tf_names(900)
    assert len(set(names)) == 900 and not set(names) & set(gene_ids(19980))
    assert pd.Series(names).str.fullmatch(r"X[AEIOU][B-DF-HJ-NP-TV-Z]\d").all()


@pytest.mark.parametrize("seed", [0, 42])
def test_binding_is_skewed_with_few_bound_genes(seed):
    config = SimulationConfig(random_state=seed)
    predictors, bound = simulate_predictors(config)
    share = bound.mean()
    assert share["XAB1"] == config.ptf_bound_fraction
    others = share.drop("XAB1")
    assert 0.05 < others.median() < 0.15 and others.max() / others.min() > 5
    assert (predictors.median() < 0.8).sum() >= 45  # most genes near background (mean 0.3) in nearly every column
    assert (predictors.drop(columns="XAB1").skew() > 1).mean() > 0.9
    assert predictors[bound].median().min() > 2.5 and predictors[~bound].median().max() < 0.3
    correlation = predictors.corr().to_numpy()[np.triu_indices(config.n_tfs, 1)]
    assert correlation.mean() > 0.05 and correlation.max() > 0.2


def test_top_600_are_mostly_targets_and_without_ties():
    predictors, bound = simulate_predictors(SimulationConfig())
    binding = predictors["XAB1"]
    assert bound["XAB1"][binding.nlargest(600).index].mean() > 0.9
    assert binding.nlargest(600).is_unique


def test_co_binding_makes_columns_correlated():
    def mean_correlation(c):
        predictors, _ = simulate_predictors(SimulationConfig(co_binding=c))
        return predictors.corr().to_numpy()[np.triu_indices(50, 1)].mean()

    assert abs(mean_correlation(0)) < 0.01 < mean_correlation(0.5) < mean_correlation(0.8)


def test_each_perturbed_factor_has_its_own_truth():
    data = small(n_perturbed=3)
    assert list(data.truth["perturbed"]) == tf_names(3)
    for ptf in data.perturbed_tfs:
        assert all(term.startswith(f"{ptf}:") and term != f"{ptf}:{ptf}" for term in data.truth["perturbed"][ptf]["interactors"])
    noise = pd.DataFrame({p: data.response[p] - fitted_of(data, p) for p in data.perturbed_tfs})
    assert noise.corr().to_numpy()[np.triu_indices(3, 1)].max() < 0.3


# ---- files ------------------------------------------------------------------------------------


def test_files_hold_what_is_in_memory(tmp_path):
    data = small(n_perturbed=2, red_median=True)
    folder = data.save(tmp_path / "a" / "b")
    assert sorted(p.name for p in folder.iterdir()) == sorted(TABLE_FILES.values())
    for name, table in zip(TABLE_FILES.values(), (data.response, data.predictors)):
        back = pd.read_csv(folder / name, index_col=0)
        pd.testing.assert_frame_equal(back, table, check_exact=True, check_index_type=False, check_column_type=False)
    assert read_truth(folder) == read_truth(folder / "truth.json") == data.truth
    assert all(b"\r" not in (folder / name).read_bytes() for name in TABLE_FILES.values())


def test_truth_has_its_fields_and_remakes_the_data():
    truth = json.loads(json.dumps(small(n_perturbed=2).truth))
    assert set(truth) == {"version", "model", "seed", "options", "perturbed"} and truth["seed"] == 42
    assert set(truth["perturbed"]["XAB1"]) == {"intercept", "interactors", "main_effects", "ptf_main_effect", "signal_fraction"}
    assert simulate_interactions(SimulationConfig(**truth["options"])).truth == truth


def test_same_bytes_twice(tmp_path):
    a, b = small().save(tmp_path / "a"), small().save(tmp_path / "b")
    assert all((a / name).read_bytes() == (b / name).read_bytes() for name in TABLE_FILES.values())


def test_save_refuses_to_replace_unless_told(tmp_path):
    (tmp_path / "response.csv").write_text("mine\n")
    with pytest.raises(InputError, match="already holds response.csv"):
        small().save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["response.csv"] and (tmp_path / "response.csv").read_text() == "mine\n"
    small().save(tmp_path, overwrite=True)
    assert read_truth(tmp_path)["version"] == 1


def test_save_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        small().save(tmp_path / "file")


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"{}", b'{"version": 2, "perturbed": {}}', b'{"version": 1, "perturbed": []}', b"\xff\xfe\x00"]
)
def test_read_truth_refuses_what_it_did_not_write(tmp_path, content):
    if content is not None:
        (tmp_path / "truth.json").write_bytes(content)
    with pytest.raises(InputError, match="truth.json"):
        read_truth(tmp_path)


# ---- score ------------------------------------------------------------------------------------

TRUTH = {
    "version": 1,
    "perturbed": {
        "A": {"interactors": {"A:B": 1.0, "A:C": -0.5}, "main_effects": {"D": 1.0}},
        "B": {"interactors": {"B:A": 1.0}, "main_effects": {}},
    },
}


@pytest.mark.parametrize(
    "kept, found, missed, false",
    [
        ([], (), ("A:B", "A:C"), ()),
        (["A:C", "A:B"], ("A:B", "A:C"), (), ()),
        (["A:D", "A:C", "A:D"], ("A:C",), ("A:B",), ("A:D",)),
        (["A", "row_max", "D", "I(A ** 2)", "B:A", "AB:C"], (), ("A:B", "A:C"), ()),
        ({"A:B": (0.1, 0.2), "A:red_median": (0.1, 0.2)}, ("A:B",), ("A:C",), ("A:red_median",)),
        (iter(["A:B"]), ("A:B",), ("A:C",), ()),
    ],
)
def test_score(kept, found, missed, false):
    score = score_against_truth(kept, TRUTH, "A")
    assert dataclasses.asdict(score) == {"found": found, "missed": missed, "false": false}


def test_score_of_a_run_and_of_another_method():
    "A run is scored by its survivors and knows its own factor; another method by what it selects."
    from types import SimpleNamespace

    truth = {"perturbed": {"A": {"interactors": {"A:B": 1.0}}, "C": {"interactors": {"C:B": 1.0}}}}
    run = SimpleNamespace(survivors=("C:B", "C:D"), selected=("C:D",), data=SimpleNamespace(perturbed_tf="C"))
    assert score_against_truth(run, truth) == score_against_truth(["C:B", "C:D"], truth, "C")
    assert score_against_truth(SimpleNamespace(selected=("C:B",)), truth, "C").found == ("C:B",)


def test_score_shares():
    score = score_against_truth(["A:B", "A:D"], TRUTH, "A")
    assert score.power == 0.5 and score.false_share == 0.5
    nothing = score_against_truth([], {"perturbed": {"A": {"interactors": {}}}})
    assert math.isnan(nothing.power) and nothing.false_share == 0.0


def test_score_needs_to_know_the_factor():
    with pytest.raises(InputError, match="2 perturbed factors"):
        score_against_truth([], TRUTH)
    with pytest.raises(InputError, match="Did you mean 'A'"):
        score_against_truth([], TRUTH, "a")


# ---- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(n_genes=10), "--n_genes 10: it must be from 200 to 19980"),
        (dict(n_genes=300.5), "whole number"),
        (dict(n_genes=True), "whole number"),
        (dict(n_tfs=901), "--n_tfs 901"),
        (dict(n_perturbed=0), "at least 1"),
        (dict(n_tfs=20, n_perturbed=21), "at most --n_tfs, which is 20"),
        (dict(n_tfs=8), "need 10 factors"),
        (dict(n_interactors=-1), "at least 0"),
        (dict(signal_fraction=0), "ends excluded"),
        (dict(signal_fraction=1), "ends excluded"),
        (dict(signal_fraction="much"), "it must be a number"),
        (dict(noise_df=2), "--noise_df 2"),
        (dict(noise_sd=0), "--noise_sd 0"),
        (dict(noise_sd=math.nan), "it must be a number"),
        (dict(bound_fraction=0.6), "--bound_fraction 0.6"),
        (dict(ptf_bound_fraction=0), "--ptf_bound_fraction 0"),
        (dict(co_binding=1), "--co_binding 1"),
        (dict(falloff=1.1), "--falloff 1.1"),
        (dict(ptf_main_effect=math.inf), "it must be a number"),
        (dict(red_median="yes"), "switch"),
        (dict(random_state=-1), "--random_state -1"),
        (dict(random_state=2**32), "--random_state"),
        (dict(random_state=None), "whole number"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError) as error:
        SimulationConfig(**options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_options_are_typed_frozen_and_documented():
    config = SimulationConfig(n_genes="300", signal_fraction="0.3", n_tfs=20.0)
    assert (config.n_genes, config.signal_fraction, config.n_tfs) == (300, 0.3, 20) and isinstance(config.n_tfs, int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_genes = 5
    assert all(f.metadata["help"] and f.metadata["group"] for f in dataclasses.fields(SimulationConfig))


@pytest.mark.parametrize(
    "options",
    [
        dict(n_genes=200, n_tfs=2, n_interactors=1, n_main_effects=0),
        dict(n_genes=200, n_tfs=11, ptf_bound_fraction=0.001, bound_fraction=0.001),
        dict(n_genes=200, n_tfs=11, co_binding=0.95, falloff=0.01, n_perturbed=11),
    ],
)
def test_corners_still_give_finite_tables(options):
    data = simulate_interactions(SimulationConfig(**options))
    assert np.isfinite(data.response).all(axis=None)
    assert all(r2_of(data, ptf) == pytest.approx(0.2, abs=1e-6) for ptf in data.perturbed_tfs)
