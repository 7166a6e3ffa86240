"The methods of the evidence command against independent oracles: susieR, Bayes' rule written out, and what must not matter."

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from tfbpmodeling.artifacts import read_run, write_run
from tfbpmodeling.batch import open_batch, prepare
from tfbpmodeling.batch_tables import read_sources
from tfbpmodeling.config import WING_METHODS, BatchConfig, Config
from tfbpmodeling.evidence.evidence import evidence
from tfbpmodeling.evidence.single_effects import classical_effects, columns_without, robust_effects, single_effect, uniform_prior
from tfbpmodeling.inference import COLUMNS, OF_WINGS, run_inference
from tfbpmodeling.known_truth.simulation import example_experiments
from tfbpmodeling.modeling_data import load_modeling_data, make_modeling_data
from tfbpmodeling.report import sureness_block
from tfbpmodeling.workflow import run

SUSIER = Path(__file__).parent / "data" / "susier"
DESIGNS, EFFECTS = 20, 5
PUSH = {"deletion": "down", "overexpression": "up"}


def design(seed: int) -> tuple[np.ndarray, np.ndarray]:  # X (200 to 600, 50 to 400), y
    "Correlated columns, three of which act."
    rng = np.random.default_rng([21, seed])
    n, m = int(rng.integers(200, 601)), int(rng.integers(50, 401))
    shared = rng.normal(size=(n, 5)) @ rng.normal(size=(5, m))
    X = shared * rng.uniform(0.2, 1) + 1.5 * rng.normal(size=(n, m))
    acting = rng.choice(m, 3, replace=False)
    return X, X[:, acting] @ rng.normal(0, 0.3, 3) + 2 * rng.normal(size=n)


def prepared(X: np.ndarray, y: np.ndarray):
    "Columns and response without their means."
    return columns_without(X, np.full((len(y), 1), len(y) ** -0.5)), y - y.mean()


def classical(seed: int):
    columns, y = prepared(*design(seed))
    return classical_effects([columns], [y], EFFECTS)


def probabilities(path: Path) -> dict[int, np.ndarray]:
    rows = (line.split(",") for line in path.read_text().splitlines())
    return {int(row[0]): np.array(row[1:], dtype=float) for row in rows}


# ---------------------------------------------------------------- single effects against independent programs


def test_classical_mode_gives_the_inclusion_probabilities_of_susier():
    kept = probabilities(SUSIER / "pips.csv")
    assert sorted(kept) == list(range(DESIGNS)) and sum((p > 0.5).sum() for p in kept.values()) > DESIGNS
    for seed, pips in kept.items():
        found = classical(seed)
        np.testing.assert_allclose(found.inclusion, pips, rtol=0, atol=1e-3, err_msg=f"design {seed}")
        assert (np.diff(found.bound) >= -1e-8).all(), f"design {seed}: the bound fell"


@pytest.mark.slow
def test_kept_numbers_are_those_of_susier(tmp_path):
    if not shutil.which("Rscript") or subprocess.run(["Rscript", "-e", "library(susieR)"], capture_output=True).returncode:
        pytest.skip("R with susieR is not here (Debian: apt install r-base-core r-cran-susier)")
    for seed in range(DESIGNS):
        X, y = design(seed)
        folder = tmp_path / "designs" / f"{seed:02d}"
        folder.mkdir(parents=True)
        X.T.tofile(folder / "X.bin")
        y.tofile(folder / "y.bin")
        (folder / "size.txt").write_text(f"{len(y)} {X.shape[1]} {EFFECTS}")
    words = ["Rscript", SUSIER / "pips.R", tmp_path / "designs", tmp_path / "pips.csv"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    now, kept = probabilities(tmp_path / "pips.csv"), probabilities(SUSIER / "pips.csv")
    for seed in range(DESIGNS):
        np.testing.assert_allclose(now[seed], kept[seed], rtol=0, atol=2e-5)


@pytest.mark.parametrize("m", (1, 2, 5, 12))
@pytest.mark.parametrize("n_experiments", (1, 2))
def test_a_single_effect_is_bayes_rule_over_which_column(m, n_experiments):
    rng = np.random.default_rng([m, n_experiments])
    columns, responses, noise = [], [], [1.7, 0.6][:n_experiments]
    for s in noise:
        X = rng.normal(size=(60, m)) + 0.7 * rng.normal(size=(60, 1))
        c, y = prepared(X, 0.4 * X[:, 0] + np.sqrt(s) * rng.normal(size=60))
        columns, responses = [*columns, c], [*responses, y]
    found = single_effect(columns, responses, uniform_prior(columns), noise)
    assert (found.prior > 0).all()
    log_density, mean = np.zeros(m), np.zeros((n_experiments, m))
    for k, (c, y, s, prior) in enumerate(zip(columns, responses, noise, found.prior)):
        for j, x in enumerate(c.X.T):
            cov = s * np.eye(len(y)) + prior * np.outer(x, x)  # of y if the effect is this column's, its size integrated out
            log_density[j] += multivariate_normal.logpdf(y, cov=cov)
            mean[k, j] = prior * x @ np.linalg.solve(cov, y)
    by_bayes = np.exp(log_density - log_density.max())
    np.testing.assert_allclose(found.probability, by_bayes / by_bayes.sum(), rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.mean, mean, rtol=0, atol=1e-8)
    null = sum(multivariate_normal.logpdf(y, cov=s * np.eye(len(y))) for y, s in zip(responses, noise))
    assert np.isclose(found.log_bf, np.log(by_bayes.mean()) + log_density.max() - null, rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(2))
def test_the_bound_never_falls_with_two_experiments(seed):
    (X, y), (Z, z) = design(seed), design(seed)
    rng = np.random.default_rng(seed)
    columns = [prepared(X[:, :40], y)[0], prepared(Z[100:, :40], z[100:])[0]]
    responses = [y - y.mean(), rng.permutation(z[100:])]
    responses[1] -= responses[1].mean()
    bound = classical_effects(columns, responses, 3).bound
    assert len(bound) > 1 and (np.diff(bound) >= -1e-8).all()


# ---------------------------------------------------------------- what must not matter


def test_order_of_columns_genes_and_experiments_does_not_matter_for_single_effects():
    X, y = design(9)
    rng = np.random.default_rng(0)
    rows, at = rng.permutation(len(y)), rng.permutation(X.shape[1])
    other = y[::-1] + X[:, 3]

    def effects(X, *responses):
        c = prepared(X, responses[0])[0]
        return robust_effects([c] * len(responses), [r - r.mean() for r in responses], found=1.0)

    first, second = effects(X, y, other), effects(X[rows][:, at], other[rows], y[rows])
    assert len(first) == len(second) > 0
    for a, b in zip(first, second):
        np.testing.assert_allclose(a.probability[at], b.probability, rtol=0, atol=1e-8)
        np.testing.assert_allclose(a.mean[::-1][:, at], b.mean, rtol=0, atol=1e-8)
        assert np.isclose(a.log_bf, b.log_bf, rtol=0, atol=1e-8)
    one, two = (
        classical_effects([prepared(X, y)[0]], [y - y.mean()], 3),
        classical_effects([prepared(X[rows][:, at], y)[0]], [(y - y.mean())[rows]], 3),
    )
    np.testing.assert_allclose(one.inclusion[at], two.inclusion, rtol=0, atol=1e-8)


def test_order_of_columns_genes_and_experiments_does_not_matter_for_the_batch():
    experiments, binding = example_experiments()
    rng = np.random.default_rng(1)
    shuffled = {
        name: table.iloc[rng.permutation(len(table)), rng.permutation(table.shape[1])] for name, table in reversed(experiments.items())
    }
    mixed = binding.iloc[rng.permutation(len(binding)), rng.permutation(binding.shape[1])]
    asked = dict(push=PUSH, perturbed_tfs=("P1", "P3"), permutations=3)
    one, two = evidence(experiments, binding, **asked), evidence(shuffled, mixed, **asked)
    for name in ("interactions", "main_effects", "groups", "chance", "genes"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=False, rtol=1e-8, atol=1e-8)
    assert one.facts == two.facts


# ---------------------------------------------------------------- --inference evidence


QUICK = dict(n_bootstraps=10, random_state=7, top_n=200, bins="0,inf", n_cpus=1, inference="evidence")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    experiments, binding = example_experiments()
    experiments["deletion"].assign(note="text").to_csv(folder / "response.csv")
    binding.to_csv(folder / "predictors.csv")
    return folder


def the_function(response: pd.DataFrame, ptf: str):
    return evidence({"response": response}, example_experiments()[1], perturbed_tfs=[ptf], random_state=7)


def same_table(path: Path, expected: pd.DataFrame) -> None:
    "Same columns in the same order, same names, same numbers."
    written = pd.read_csv(path)
    pd.testing.assert_frame_equal(written, expected.replace("", np.nan), check_dtype=False, check_exact=False, rtol=1e-10, atol=1e-12)


def test_a_run_writes_what_the_function_gives(place, tmp_path):
    files = dict(response_file=str(place / "response.csv"), predictors_file=str(place / "predictors.csv"))
    write_run(tmp_path, run(Config(perturbed_tf="P1", **files, **QUICK), progress=False))
    expected = the_function(example_experiments()[0]["deletion"], "P1")
    for name in ("interactions", "main_effects"):
        same_table(tmp_path / "inference" / f"{name}.csv", getattr(expected, name))
    table, found = pd.read_csv(tmp_path / "inference" / "evidence.csv"), expected.interactions.set_index("factor")
    assert list(table.columns) == list(COLUMNS) and len(table) == 15
    table = table.set_index("variant")
    np.testing.assert_allclose(table.loc[found.index, "q"], found["q"], rtol=1e-10)
    assert list(table.index[table["selected"]]) == list(found.index[found["selected"]]) == ["A"]
    back = read_run(tmp_path)
    assert "weighted by their spread over 7 other responses" in back.inference.promise
    assert set(back.inference.tables) == {"interactions", "main_effects"}
    page = sureness_block(back).html
    assert "evidence: 1 of 15 interactors selected at a nominal rate of 0.1" in page and "stand beside the pairs: H" in page


@pytest.mark.parametrize("ptf", ("P1", "P3"))
def test_a_factor_of_a_batch_has_the_weights_of_the_whole_table(place, tmp_path, ptf):
    files = dict(response_file=str(place / "response.csv"), predictors_file=str(place / "predictors.csv"), output_dir=str(tmp_path / "D"))
    config = BatchConfig(**files, **QUICK)
    sources = read_sources(config)
    assert sources.factors["P1"].responses is sources.factors["P3"].responses
    assert read_sources(BatchConfig(**files)).factors["P1"].responses is None  # nobody asks for them
    (tmp_path / "D").mkdir()
    task = prepare(open_batch(config, sources)[0], sources, ["P3", "P1"])[ptf]
    asked = Config(**task["config"])
    found = run_inference(load_modeling_data(asked, task["tables"]), asked, 7)
    expected = the_function(example_experiments()[0]["deletion"], ptf)
    pd.testing.assert_frame_equal(found.tables["interactions"], expected.interactions)


def run_of(response: pd.DataFrame, binding: pd.DataFrame, ptf: str = "P1", **changes):
    data = make_modeling_data(response, binding, ptf)
    return run_inference(data, Config(perturbed_tf=ptf, **QUICK | changes), 7)


def test_a_table_with_one_column_gives_equal_weights_and_says_so():
    experiments, binding = example_experiments()
    response = experiments["deletion"][["P1"]]
    found = run_of(response.set_axis(["log2fc"], axis=1), binding)
    pd.testing.assert_frame_equal(found.tables["interactions"], the_function(response, "P1").interactions)
    assert "all genes of equal weight (no other responses)" in found.promise
    assert not np.allclose(found.table["p"], run_of(experiments["deletion"], binding).table["p"])


def test_factors_without_an_interaction_term_are_no_pairs_but_may_act_by_themselves():
    experiments, binding = example_experiments()
    found = run_of(experiments["deletion"], binding, exclude_interactor_variables="A,H")
    assert not {"A", "H"} & set(found.tables["interactions"]["factor"]) and len(found.table) == 13
    assert found.tables["main_effects"]["lead"].tolist()[0] == "H"


@pytest.mark.parametrize("n", (1, 2, 300))
@pytest.mark.parametrize("genes", (30, 400))
def test_any_number_of_factors_and_genes_is_judged(n, genes):
    rng = np.random.default_rng(n)
    index = [f"G{i:03d}" for i in range(genes)]
    binding = pd.DataFrame(
        rng.lognormal(size=(genes, n + 1)) * (rng.random((genes, n + 1)) < 0.4), index, ["P", *(f"T{i}" for i in range(n))]
    )
    found = run_of(pd.DataFrame({"P": rng.normal(size=genes)}, index), binding, "P")
    assert len(found.table) == n and found.table["p"].isna().eq(found.table["note"] != "").all()
    assert list(found.tables["main_effects"].columns)[:6] == ["perturbed_tf", "set", "lead", "members", "log_bf", "size"]


def test_the_road_loads_the_wing_only_when_asked():
    code = "import sys, tfbpmodeling.workflow; from tfbpmodeling.inference import OF_WINGS, judge_of; "
    code += "before = [m for m in sys.modules if '.evidence' in m]; judge_of(OF_WINGS['evidence']); print(before, 'tfbpmodeling.evidence.evidence' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True"], done.stderr
    assert tuple(OF_WINGS) == WING_METHODS


def test_a_neighbour_of_the_lead_is_named_and_not_selected():
    experiments, binding = example_experiments()
    twin = binding.assign(A2=binding["A"] * (1 + 1e-3 * np.random.default_rng(0).normal(size=len(binding))))
    data = make_modeling_data(experiments["deletion"], twin, "P1", gene_names={"H": "HUB1"})
    found = run_inference(data, Config(perturbed_tf="P1", **QUICK), 7)
    pairs, table = found.tables["interactions"].set_index("factor"), found.table.set_index("variant")
    assert set(pairs.index[pairs["selected"]]) == {"A", "A2"} and len(found.selected) == 1
    (lead,) = pairs.index[pairs["lead"]]
    (other,) = {"A", "A2"} - {lead}
    assert found.selected == (f"P1:{lead}",) and f"it most resembles P1:{lead}" in table.loc[other, "note"]
    assert "stand beside the pairs: HUB1" in found.promise
