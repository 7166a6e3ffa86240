"""Figures of a run: what each gives back, that names stay literal, that bytes repeat and inputs stand."""

import copy
import dataclasses
import threading
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from examples import no_warnings
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from tfbpmodeling import figures, plots
from tfbpmodeling.bootstrap_model_results import BootstrapModelResults, intervals_by_level
from tfbpmodeling.config import Config, InputError
from tfbpmodeling.design_matrix import make_design, strata
from tfbpmodeling.modeling_data import make_modeling_data
from tfbpmodeling.workflow import run

AWKWARD = ["$P_1$", r"\frac{a}", "_hidden", "<b>&amp;", "αβ Δ", "x" * 90, "line\nbreak", "$"]


def config(ptf: str, **extra) -> Config:
    return Config(
        **{
            **dict(
                response_file="", predictors_file="", perturbed_tf=ptf, n_bootstraps=30, random_state=1, top_n=150, bins="0,20,80,np.inf"
            ),
            **extra,
        }
    )


def make_run(names: list[str], strength: float = 1.0, gene_names=None, **extra):
    rng = np.random.RandomState(0)
    ptf = names[0]
    x = pd.DataFrame(rng.lognormal(0, 0.5, (400, len(names))) * (rng.rand(400, len(names)) < 0.5), [f"G{i}" for i in range(400)], names)
    y = strength * sum(x[ptf] * x[n] for n in names[1:4]) + rng.normal(size=400)
    data = make_modeling_data(y.to_frame(ptf), x, ptf, gene_names=gene_names)
    return run(config(ptf, **extra), data, progress=False)


@pytest.fixture(scope="module")
def rich():
    return make_run(["P", "A", "B", "C", "D", "E"])


@pytest.fixture(scope="module")
def empty():
    made = make_run(["P", "A", "B", "C", "D", "E"], strength=0.0)
    assert not made.all_data.kept and made.topn is None
    return made


@pytest.fixture(scope="module")
def awkward():
    made = make_run(["F" + str(i) for i in range(8)], gene_names={f"F{i}": n for i, n in enumerate(AWKWARD)} | {"G1": "$g$"})
    assert len(made.survivors) == 3
    return made


@pytest.fixture(scope="module")
def lasso():
    return make_run(["P", "A", "B", "C", "D", "E"], stage4_lasso=True)


def results_of(draws: dict, level: float = 98.0, **extra) -> BootstrapModelResults:
    coefs = pd.DataFrame(draws)
    return BootstrapModelResults(intervals_by_level(coefs, level), coefs, [0.1] * len(coefs), **extra)


def texts(fig: Figure) -> list[str]:
    fig.draw_without_rendering()
    return [t.get_text() for t in fig.findobj(Text) if t.get_text()]


RUNS = ["rich", "empty", "awkward", "lasso"]


@pytest.mark.parametrize("which", RUNS)
@no_warnings
def test_every_figure_of_a_run_is_saved(which, request, tmp_path):
    made = request.getfixturevalue(which)
    specs = plots.run_figures(made) + plots.interaction_figures(made)
    assert len({s.name for s in specs}) == len(specs)
    for spec in specs:
        assert spec.stage in {"preprocessing", "all_data", "best_model", "topn", "significance"}
        assert spec.caption and spec.alt and "\\" not in spec.name and "/" not in spec.name
        fig = spec.draw()
        assert isinstance(fig, Figure) and fig.get_figwidth() == pytest.approx(7)
        png, svg = figures.save_figure(fig, tmp_path / "new" / "folder", spec.name)
        assert png.read_bytes()[:4] == b"\x89PNG" and ET.parse(svg).getroot().tag.endswith("svg")
        assert not any(word in svg.read_text() for word in ("<dc:date>", "Matplotlib v", str(tmp_path)))


def test_names_of_the_figures(rich, empty):
    stage = ["bootstrap_distributions", "variable_inclusion", "alpha_choice", "interval_convergence", "gene_leverage"]
    first = ["response_against_binding", "binding_distribution", "kept_coefficients", *(f"all_data_{n}" for n in stage)]
    rest = ["predicted_against_observed", *(f"topn_{n}" for n in stage), "delta_r2"]
    assert [s.name for s in plots.run_figures(rich)] == first + rest
    assert [s.name for s in plots.run_figures(empty)] == first
    assert [s.name for s in plots.interaction_figures(rich)] == [f"interaction_0{i}_{n}" for i, n in enumerate("ABC", 1)]
    assert plots.interaction_figures(empty) == []


@pytest.mark.parametrize("which", RUNS)
def test_bytes_repeat(which, request, tmp_path):
    made = request.getfixturevalue(which)
    for spec in plots.run_figures(made)[::3] + plots.interaction_figures(made)[:1]:
        one = [p.read_bytes() for p in figures.save_figure(spec.draw(), tmp_path / "a", spec.name)]
        fig = spec.draw()
        two = [p.read_bytes() for p in figures.save_figure(fig, tmp_path / "b", spec.name)]
        three = [p.read_bytes() for p in figures.save_figure(fig, tmp_path / "c", spec.name)]
        assert one == two == three, spec.name


def test_users_settings_neither_matter_nor_change(rich, tmp_path):
    spec = plots.run_figures(rich)[2]
    plain = figures.png_bytes(spec.draw())
    with matplotlib.rc_context(
        {"font.size": 20, "axes.facecolor": "black", "axes.prop_cycle": "cycler('color', ['r'])", "xtick.labelsize": 30}
    ):
        before = dict(matplotlib.rcParams)
        assert figures.png_bytes(spec.draw()) == plain
        assert dict(matplotlib.rcParams) == before


def test_threads_give_the_same_bytes_and_leave_no_trace(rich):
    import matplotlib.pyplot as plt

    specs, got, before = plots.run_figures(rich)[:3], {}, dict(matplotlib.rcParams)
    jobs = [threading.Thread(target=lambda i=i: got.__setitem__(i, figures.png_bytes(specs[i % 3].draw()))) for i in range(6)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert all(got[i] == got[i + 3] for i in range(3))
    assert dict(matplotlib.rcParams) == before and plt.get_fignums() == []


def test_inputs_stay_as_they_are(rich):
    before = copy.deepcopy({f.name: getattr(rich, f.name) for f in dataclasses.fields(rich) if f.name not in ("best_model", "config")})
    for spec in plots.run_figures(rich) + plots.interaction_figures(rich):
        spec.draw()
    for stage in ("all_data", "topn"):
        pd.testing.assert_frame_equal(getattr(rich, stage).bootstrap_coefs_df, before[stage].bootstrap_coefs_df)
        pd.testing.assert_frame_equal(getattr(rich, stage).cv_curve, before[stage].cv_curve)
    for table in ("significance", "comparison", "final_selection"):
        pd.testing.assert_frame_equal(getattr(rich, table), before[table])
    pd.testing.assert_frame_equal(rich.data.predictors, before["data"].predictors)
    pd.testing.assert_series_equal(rich.data.response, before["data"].response)
    assert (rich.design.X == before["design"].X).all()


def test_functions_draw_on_the_axes_given(rich):
    label = figures.term_namer(rich.data)
    calls = [
        (plots.response_against_binding, (rich.data, strata(rich.data.binding, rich.config.bins), 150)),
        (plots.binding_distribution, (rich.data, 150)),
        (plots.kept_coefficients, (rich.all_data, rich.topn, label)),
        (plots.variable_inclusion, (rich.all_data,)),
        (plots.predicted_against_observed, (rich.best_model.predict(rich.data.predictors), rich.data.response, 0.5)),
        (plots.delta_r2, (rich.comparison, rich.significance)),
        (plots.interaction, (rich.data, "P:A")),
    ]
    for function, args in calls:
        ax = Figure().add_subplot()
        assert function(*args, ax=ax) is ax and ax.get_xlabel()
        made = function(*args)
        assert isinstance(made, Axes) and made.get_xlabel() == ax.get_xlabel()
    for function, args in [(plots.bootstrap_distributions, (rich.all_data,)), (plots.alpha_choice, (rich.all_data,)),
                           (plots.interval_convergence, (rich.all_data,)), (plots.gene_leverage, (rich.design, ["P:A"]))]:  # fmt: skip
        assert isinstance(function(*args), Figure)


def test_axis_labels_say_what_is_shown(rich):
    ax = plots.response_against_binding(rich.data, strata(rich.data.binding, rich.config.bins), 150)
    assert ax.get_xlabel() == "binding of P (as in the table)" and ax.get_ylabel() == "response (as in the table)"
    assert "negative: the interactor predicts better" in plots.delta_r2(rich.comparison, rich.significance).get_xlabel()
    assert plots.kept_coefficients(rich.all_data).get_xlabel() == figures.COEFFICIENT


def test_names_are_shown_literally(awkward):
    label = figures.term_namer(awkward.data)
    ptf = AWKWARD[0]
    fig = plots.variable_inclusion(awkward.all_data, label=label).figure
    assert any(figures.shown(f"{ptf}:{AWKWARD[3]}") in t for t in texts(fig))
    for spec in plots.run_figures(awkward) + plots.interaction_figures(awkward):
        fig = spec.draw()
        fig.draw_without_rendering()
        for text in fig.findobj(Text):
            if "$" in text.get_text() and "mathdefault" not in text.get_text():
                assert text.get_parse_math() is False, (spec.name, text.get_text())
    assert any(AWKWARD[2] in t for t in texts(plots.interaction(awkward.data, "F0:F2").figure))


def test_html_of_a_figure_is_escaped_and_whole(awkward):
    shown = plots.interaction_figures(awkward)[2]._repr_html_()
    assert "&lt;b&gt;&amp;amp;" in shown and "<b>" not in shown and 'src="data:image/png;base64,' in shown


def test_shown():
    assert figures.shown("a\nb\tc") == "a b c"
    assert len(figures.shown("x" * 90, 34)) <= 34 and "…" in figures.shown("x" * 90)
    assert figures.shown("$x_1$") == "$x_1$"


def test_term_namer():
    rng = np.random.RandomState(0)
    x = pd.DataFrame(rng.rand(50, 2), columns=["Y1", "Y2"], index=[f"G{i}" for i in range(50)])
    data = make_modeling_data(x[["Y1"]] ** 2 + x[["Y2"]].to_numpy(), x, "Y1", gene_names={"Y1": "YAP1"})
    label = figures.term_namer(data)
    assert [label(t) for t in ("Y1:Y2", "Y1", "I(Y1 ** 2)", "I(Y2 ** 3)", "row_max", "unknown")] == [
        "YAP1:Y2", "YAP1", "I(YAP1 ** 2)", "I(Y2 ** 3)", "row_max", "unknown"]  # fmt: skip


DRAWS = {
    "one term": {"a": [0.1, 0.2, 0.3]},
    "all zero": {"a": [0.0] * 5, "b": [0.0] * 5},
    "one bootstrap": {"a": [0.5], "b": [0.0]},
    "constant": {"a": [0.5] * 4, "b": [-0.5] * 4},
    "tiny": {"a": [1e-300, 2e-300], "b": [1e300, -1e300]},
    "many terms": {f"t{i}": [0.1 * i, 0.2, 0.3] for i in range(1, 80)},
}


@pytest.mark.parametrize("kind", [k for k in DRAWS if k != "tiny"])
@no_warnings
def test_odd_draws(kind, tmp_path):
    results = results_of(DRAWS[kind])
    design_terms = results.terms[:3]
    x = pd.DataFrame(np.arange(60.0).reshape(20, 3), columns=list("PQR"), index=[f"G{i}" for i in range(20)])
    data = make_modeling_data(np.sqrt(x[["P"]]), x, "P")
    made = [
        plots.kept_coefficients(results).figure,
        plots.kept_coefficients(results, results).figure,
        plots.bootstrap_distributions(results),
        plots.variable_inclusion(results).figure,
        plots.alpha_choice(results),
        plots.interval_convergence(results),
        plots.gene_leverage(make_design(data, ("P",), (0, np.inf)), ["P"] * bool(design_terms)),
        plots.gene_leverage(make_design(data, ("P",), (0, np.inf)), []),
    ]
    for i, fig in enumerate(made):
        figures.save_figure(fig, tmp_path, f"f{i}")


def test_long_lists_are_capped():
    results = results_of(DRAWS["many terms"])
    assert "… and 49 more terms" in plots.kept_coefficients(results).get_xlabel()
    assert "… and 49 more terms" in plots.variable_inclusion(results).get_xlabel()
    assert any("… and 61 more terms" in t for t in texts(plots.bootstrap_distributions(results)))
    assert any("… and 67 more terms" in t for t in texts(plots.interval_convergence(results)))


@no_warnings
def test_constant_and_missing_cv_curves(tmp_path):
    grid = pd.DataFrame({"alpha_index": range(5), "relative_alpha": 10.0 ** -np.arange(5), "mean_cv_mse": 1.0, "sd_cv_mse": 0.0})
    for curve in (grid, grid.iloc[:1], grid.iloc[:0], None):
        figures.save_figure(plots.alpha_choice(results_of(DRAWS["one term"], cv_curve=curve)), tmp_path, "alpha")
    assert "the cross-validation curve is not stored" in texts(plots.alpha_choice(results_of(DRAWS["one term"])))


@no_warnings
def test_delta_r2_with_missing_folds_and_without_survivors(rich, tmp_path):
    folds, table = rich.comparison.copy(), rich.significance.copy()
    folds.loc[0, "r2_interactor"] = np.nan
    folds.loc[folds["interactor"] == "P:B", "r2_main_effect"] = np.nan
    table.loc[table["interactor"] == "P:B", "delta_r2"] = np.nan
    figures.save_figure(plots.delta_r2(folds, table).figure, tmp_path, "delta")
    assert any("No interactor survived" in t for t in texts(plots.delta_r2(folds.iloc[:0], table.iloc[:0]).figure))


@pytest.mark.parametrize("values", [[0.0] * 90 + [5.0] * 10, list(np.geomspace(1, 1e6, 100)), list(-np.arange(100.0)), [1.0, 2.0] * 50])
@no_warnings
def test_binding_of_every_shape(values, tmp_path):
    x = pd.DataFrame({"P": values, "Q": values[::-1]}, index=[f"G{i}" for i in range(100)])
    data = make_modeling_data(pd.DataFrame({"P": np.sin(np.arange(100.0))}, x.index), x, "P")
    for n_top in (50, 100):
        for i, ax in enumerate((plots.binding_distribution(data, n_top), plots.response_against_binding(data, np.ones(100, int), n_top))):
            figures.save_figure(ax.figure, tmp_path, f"{i}")
    figures.save_figure(plots.interaction(data, "P:Q").figure, tmp_path, "interaction")


def test_interaction_refuses_other_terms(rich):
    with pytest.raises(InputError, match="not an interaction"):
        plots.interaction(rich.data, "P")


def test_binned_means_hold_enough_points():
    rng = np.random.RandomState(0)
    x, y = rng.exponential(1, 500), rng.rand(500)
    table = plots.binned_means(x, y)
    assert table["n"].min() >= 15 and table["n"].sum() == 500 and table["x"].is_monotonic_increasing
    assert np.isclose((table["mean"] * table["n"]).sum(), y.sum())
    assert len(plots.binned_means(np.ones(3), np.arange(3.0))) == 1


def test_monte_carlo_error_against_seeds():
    tables = pd.concat(
        [plots.monte_carlo_error(pd.DataFrame({"t": np.random.RandomState(s).normal(0.5, 0.2, 1000)}), 90) for s in range(300)]
    )
    assert np.allclose(tables[["low", "high"]].std(), tables[["low_error", "high_error"]].mean(), rtol=0.15)


def test_monte_carlo_error_matches_the_intervals_and_the_verdicts():
    rng = np.random.RandomState(0)
    half = rng.normal(0.5, 0.05, 1000) * (rng.rand(1000) < 0.5)
    draws = pd.DataFrame(
        {
            "sure": rng.normal(1, 0.1, 1000),
            "edge": rng.normal(0.234, 0.1, 1000),
            "null": rng.normal(0, 0.1, 1000),
            "half": half,
            "never": 0.0,
        }
    )
    table = plots.monte_carlo_error(draws, 98).set_index("term")
    bounds = intervals_by_level(draws, 98)["98.0"]
    assert all(np.allclose(table.loc[t, ["low", "high"]].astype(float), bounds[t]) for t in draws)
    assert table["could_turn"].to_dict() == {"sure": False, "edge": True, "null": False, "half": False, "never": False}
    one = plots.monte_carlo_error(draws.iloc[:1], 98)
    assert one["low_error"].isna().all() and one["could_turn"].all()


def test_strongest_terms_prefer_kept_then_the_commoner_sign():
    rng = np.random.RandomState(0)
    big = rng.normal(0, 100, 200)
    results = results_of({"never": np.zeros(200), "big": big, "mostly": rng.normal(0.1, 0.1, 200), "kept": rng.normal(1e-6, 1e-8, 200)})
    assert plots.strongest_terms(results) == ["kept"]
    assert plots.strongest_terms(results_of({t: results.bootstrap_coefs_df[t] for t in ("never", "big", "mostly")})) == [
        "mostly",
        "big",
        "never",
    ]


def test_leverage_of_genes(rich):
    share = plots.leverage_of_genes(rich.design, "P:A")
    assert share.sum() == pytest.approx(1) and share.is_monotonic_decreasing and set(share.index) == set(rich.design.genes)
