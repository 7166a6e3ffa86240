"""The published result object: its numbers, its two files, and the pickles that its reader takes and refuses."""

import json
import os
import pickle
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.bootstrap_model_results import (
    BootstrapModelResults,
    bootstrap,
    excluding_zero,
    intervals,
    intervals_by_level,
    iterative_dropout,
)
from tfbpmodeling.config import InputError
from tfbpmodeling.design_matrix import Design
from tfbpmodeling.safe_pickle import safe_unpickle

TERMS = ["TF1:TF2", "TF1:YKL112W-A", "I(TF1 ** 2)", "row_max"]


@pytest.fixture
def design() -> Design:
    rng = np.random.RandomState(0)
    X = rng.lognormal(0, 1, (120, 4))
    y = 2 * X[:, 0] - X[:, 1] + rng.normal(0, 2, 120)
    return Design(tuple(TERMS), X, y, np.repeat([1, 2, 3], [8, 4, 108]), pd.Index([f"g{i}" for i in range(120)]))


@pytest.fixture
def results(design) -> BootstrapModelResults:
    return bootstrap(design, 40, seed=1, ci_level=98.0)


def files(folder: Path) -> dict:
    return dict(ci_dict_json=folder / "result_obj_ci.json", coefs_alphas_pkl=folder / "result_obj_coefs_alphas.pkl")


# ---------------------------------------------------------------- the object


def test_the_runs_level_comes_first_and_the_standard_ones_follow(design, results):
    assert list(results.ci_dict) == ["98.0", "90.0", "95.0", "99.0"] and results.ci_level == 98.0
    assert list(intervals_by_level(results.bootstrap_coefs_df, 90)) == ["90.0", "95.0", "99.0"]
    assert list(intervals_by_level(results.bootstrap_coefs_df, 99.9)) == ["99.9", "90.0", "95.0", "99.0"]


@pytest.mark.parametrize("level", [1, 50, 90, 95.0, 97.5, 99.9])
def test_significant_coefficients_at_any_level_are_numpys_percentiles(results, level):
    draws, tail = results.bootstrap_coefs_df, (100 - level) / 2
    low, high = np.percentile(draws, tail, axis=0), np.percentile(draws, 100 - tail, axis=0)
    expected = {t: (a, b) for t, a, b in zip(draws.columns, low, high) if a > 0 or b < 0}
    ours = results.extract_significant_coefficients(ci_level=level)
    assert list(ours) == list(expected) and [*ours.values()] == [pytest.approx(b, rel=1e-12) for b in expected.values()]


def test_the_default_level_is_95(results):
    assert results.extract_significant_coefficients() == results.extract_significant_coefficients(ci_level=95.0)


@pytest.mark.parametrize("level", [0, 100, -5, 250, float("nan")])
def test_impossible_levels_are_refused(results, level):
    with pytest.raises(InputError, match="between 0 and 100"):
        results.extract_significant_coefficients(ci_level=level)


def test_an_interval_that_touches_zero_is_not_kept():
    draws = pd.DataFrame({"touches": [0.0, 0.0, 1.0, 2.0], "above": [0.1, 1.0, 1.0, 2.0], "below": [-3.0, -2.0, -1.0, -0.5]})
    assert list(excluding_zero(intervals(draws, 99))) == ["above", "below"]
    assert excluding_zero({"up": (0.0, 1.0), "down": (-1.0, 0.0), "point": (0.0, 0.0)}) == {}


def test_more_coverage_never_keeps_more(results):
    kept = [set(results.extract_significant_coefficients(level)) for level in (50, 80, 90, 95, 98, 99.9)]
    assert all(more >= fewer for more, fewer in zip(kept, kept[1:])) and kept[0] > set()


def test_the_feature_table_ranks_all_terms(results):
    table = results.feature_importance()
    assert list(table["rank"]) == [1, 2, 3, 4] and set(table["term"]) == set(TERMS)
    assert table["mean_abs_coef"].is_monotonic_decreasing and set(table.loc[table["kept"], "term"]) == set(results.kept)
    assert (table["kept"] == (table["interval_distance_from_zero"] > 0)).all()


def test_dropout_keeps_what_a_fresh_fit_of_the_final_terms_gives(design):
    def fit(d):
        return bootstrap(d, 20, 1, 90.0)

    result, rounds = iterative_dropout(design, fit, 80.0, 90.0)
    columns = [TERMS.index(t) for t in result.terms]
    fresh = fit(Design(tuple(result.terms), design.X[:, columns].copy(), design.y, design.strata, design.genes))
    pd.testing.assert_frame_equal(result.bootstrap_coefs_df, fresh.bootstrap_coefs_df)
    assert rounds[0] == 4 and rounds[-1] == len(result.terms) < 4 and result.ci_dict == fresh.ci_dict
    assert set(result.terms) == set(fresh.extract_significant_coefficients(80.0))


# ---------------------------------------------------------------- the two files


def test_round_trip(results, tmp_path):
    results.serialize(tmp_path / "made")
    back = BootstrapModelResults.deserialize(**files(tmp_path / "made"))
    pd.testing.assert_frame_equal(back.bootstrap_coefs_df, results.bootstrap_coefs_df, check_exact=True)
    assert back.alpha_list == results.alpha_list and back.ci_dict == results.ci_dict and back.kept == results.kept
    assert list(back.ci_dict) == ["98.0", "90.0", "95.0", "99.0"] and back.ci_level == 98.0
    assert back.extract_significant_coefficients(97.0) == results.extract_significant_coefficients(97.0)
    pd.testing.assert_frame_equal(back.confidence_intervals(), results.confidence_intervals())


def test_the_files_have_the_published_structure(results, tmp_path):
    results.serialize(tmp_path)
    coefs, alphas = pd.read_pickle(files(tmp_path)["coefs_alphas_pkl"])
    assert coefs.shape == (40, 4) and coefs.columns.dtype == object and type(alphas) is list and {type(a) for a in alphas} == {float}
    ci = json.loads(files(tmp_path)["ci_dict_json"].read_text())
    assert list(ci["98.0"]) == TERMS and all(isinstance(b, list) and len(b) == 2 for b in ci["98.0"].values())


def test_the_older_file_names_are_read(results, tmp_path):
    results.serialize(tmp_path)
    json_file, pickle_file = (p.rename(tmp_path / n) for p, n in zip(files(tmp_path).values(), ("result_obj.json", "result_obj.pkl")))
    assert BootstrapModelResults.deserialize(ci_dict_json=json_file, coefs_alphas_pkl=pickle_file).alpha_list == results.alpha_list


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("storage", ["python", "pyarrow", "object"])
def test_a_plain_table_of_this_pandas_is_read(protocol, storage, tmp_path):
    "pandas 3 gives names the str type, which our own files avoid; other people's pickles have it."
    with pd.option_context("mode.string_storage", "python" if storage == "object" else storage):
        plain = pd.DataFrame({"TF1:TF2": [0.5, 1.5], "a": [0.0, -1.0]})
    if storage == "object":
        plain.columns = plain.columns.astype(object)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps((plain, [0.1, 0.2]), protocol=protocol))
    coefs, alphas = safe_unpickle(tmp_path / "plain.pkl")
    assert [str(c) for c in coefs.columns] == ["TF1:TF2", "a"] and alphas == [0.1, 0.2]
    np.testing.assert_array_equal(coefs.to_numpy(dtype=float), plain.to_numpy())


def test_alphas_that_are_numpy_numbers_become_floats(results, tmp_path):
    results.serialize(tmp_path)
    pair = (results.bootstrap_coefs_df, list(np.array(results.alpha_list)))
    files(tmp_path)["coefs_alphas_pkl"].write_bytes(pickle.dumps(pair))
    back = BootstrapModelResults.deserialize(**files(tmp_path))
    assert back.alpha_list == results.alpha_list and {type(a) for a in back.alpha_list} == {float}


# ---------------------------------------------------------------- pickles that are refused


class Calls:
    "Unpickles to function(*arguments)."

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


TABLE = pd.DataFrame({"a": [1.0]}, columns=pd.Index(["a"], dtype=object))
HOSTILE = {
    "os.system": lambda mark: Calls(os.system, f"touch {mark}"),
    "eval": lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"),
    "exec": lambda mark: Calls(exec, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Calls(open, str(mark), "w"),
    "getattr": lambda mark: Calls(getattr, TABLE, "to_csv"),
    "subprocess": lambda mark: Calls(subprocess.call, ["touch", str(mark)]),
    "pandas.eval": lambda mark: Calls(pd.eval, "1 + 1"),
    "pandas.read_pickle": lambda mark: Calls(pd.read_pickle, str(mark)),
    "pandas.read_csv": lambda mark: Calls(pd.read_csv, str(mark)),
    "numpy.load": lambda mark: Calls(np.load, str(mark)),
    "numpy.save": lambda mark: Calls(np.save, str(mark), 1),
    "numpy.memmap": lambda mark: Calls(np.memmap, str(mark), "uint8", "w+", 0, (1,)),
    "pickle.loads": lambda mark: Calls(pickle.loads, b"N."),
    "DataFrame.to_csv": lambda mark: Calls(pd.DataFrame.to_csv, TABLE, str(mark)),
    "bytes.decode": lambda mark: Calls(bytes.decode, b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["alone", "in the alphas", "in the table"])
def test_hostile_pickles_are_refused_and_do_nothing(name, place, tmp_path):
    trap = HOSTILE[name](tmp_path / "mark")
    inside = {"alone": trap, "in the alphas": (TABLE, [trap]), "in the table": (pd.DataFrame({"a": [trap]}, dtype=object), [0.1])}[place]
    (tmp_path / "hostile.pkl").write_bytes(pickle.dumps(inside, protocol=4))
    with pytest.raises(InputError, match="hostile.pkl"):
        safe_unpickle(tmp_path / "hostile.pkl")
    assert not list(tmp_path.glob("mark*"))


@pytest.mark.parametrize("path", ["DataFrame.to_csv", "DataFrame.eval", "io.common.os.system", "core.frame.DataFrame"])
def test_a_dotted_name_does_not_lead_out_of_an_admitted_module(path, tmp_path):
    name = path.encode()
    (tmp_path / "dotted.pkl").write_bytes(b"\x80\x04\x8c\x06pandas\x8c" + bytes([len(name)]) + name + b"\x93.")
    with pytest.raises(InputError, match="asks for pandas"):
        safe_unpickle(tmp_path / "dotted.pkl")


def test_a_pickle_by_old_names_is_refused_too(tmp_path):
    "Protocol 2 writes Python 2's module names, which the reader translates."
    (tmp_path / "old.pkl").write_bytes(b"c__builtin__\neval\n(S'1'\ntR.")
    with pytest.raises(InputError, match="eval"):
        safe_unpickle(tmp_path / "old.pkl")


def test_a_pickle_cut_anywhere_is_refused(results, tmp_path):
    results.serialize(tmp_path)
    path = files(tmp_path)["coefs_alphas_pkl"]
    whole = path.read_bytes()
    for size in [*range(0, 60), *range(60, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a pickle|damaged"):
            safe_unpickle(path)


@pytest.mark.parametrize(
    "content",
    [
        b"term,a,b\n1,2,3\n",
        b"PK\x03\x04 not a pickle",
        b"\x80\x09N.",
        b"\x80\x04\x8c\x1bpandas.core.indexes.numeric\x8c\nInt64Index\x93.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\xff.",
        pickle.dumps({"a": 1}),
        pickle.dumps(TABLE),
        pickle.dumps([TABLE, [0.1]]),
        pickle.dumps((TABLE, [0.1], 3)),
        pickle.dumps(([0.1], TABLE)),
        pickle.dumps((TABLE, None)),
        pickle.dumps((TABLE, ["x"])),
        pickle.dumps((TABLE.astype(object).replace(1.0, "text"), [0.1])),
    ],
    ids=[
        "csv",
        "zip",
        "later protocol",
        "class of pandas 1",
        "huge size",
        "dict",
        "table",
        "list",
        "triple",
        "swapped",
        "no alphas",
        "text alphas",
        "text",
    ],
)
def test_what_is_no_pair_of_table_and_numbers_is_refused(content, tmp_path):
    (tmp_path / "wrong.pkl").write_bytes(content)
    (tmp_path / "ci.json").write_text('{"98.0": {"a": [0, 1]}}')
    with pytest.raises(InputError, match="wrong.pkl"):
        BootstrapModelResults.deserialize(ci_dict_json=tmp_path / "ci.json", coefs_alphas_pkl=tmp_path / "wrong.pkl")


def test_an_array_with_fewer_values_than_its_shape_does_not_crash_python(results, tmp_path):
    "numpy itself reads past the end of such a list; seen in an interpreter of its own."
    results.serialize(tmp_path)
    path = files(tmp_path)["coefs_alphas_pkl"]
    whole = path.read_bytes()
    (at,) = [i for i in range(len(whole)) if whole[i : i + 5] == b"K\x01K\x04\x85"]  # the shape (4,) of the names
    path.write_bytes(whole[: at + 3] + b"\xff" + whole[at + 4 :])
    code = "import sys; from tfbpmodeling.bootstrap_model_results import safe_unpickle; safe_unpickle(sys.argv[1])"
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert ran.returncode == 1 and "InputError" in ran.stderr, (ran.returncode, ran.stderr[-300:])


# ---------------------------------------------------------------- another generation of pandas


@pytest.fixture(scope="module")
def pandas_2(tmp_path_factory) -> str:
    "An interpreter with pandas 2: the one that TFBPMODELING_PANDAS2_PYTHON names, else a new environment."
    if given := os.environ.get("TFBPMODELING_PANDAS2_PYTHON"):
        return given
    folder = tmp_path_factory.mktemp("pandas2")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = subprocess.run([python, "-m", "pip", "install", "-q", "pandas>=2.2,<3"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install pandas 2 here: {done.stderr.strip().splitlines()[-1:]}")
    return str(python)


def elsewhere(python: str, code: str, *arguments) -> str:
    ran = subprocess.run([python, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_pandas_2_reads_our_pickle(pandas_2, results, tmp_path):
    results.serialize(tmp_path)
    code = """
import pickle, sys, pandas as pd
assert pd.__version__.startswith("2."), pd.__version__
coefs, alphas = pickle.load(open(sys.argv[1], "rb"))
assert type(alphas) is list
print(pd.DataFrame(coefs).to_json(orient="split", double_precision=15))
"""
    theirs = json.loads(elsewhere(pandas_2, code, files(tmp_path)["coefs_alphas_pkl"]))
    assert theirs["columns"] == TERMS
    np.testing.assert_allclose(theirs["data"], results.bootstrap_coefs_df, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_we_read_what_pandas_2_pickled(pandas_2, protocol, results, tmp_path):
    results.serialize(tmp_path)
    results.bootstrap_coefs_df.to_csv(tmp_path / "coefs.csv", index=False)
    code = """
import pickle, sys, numpy as np, pandas as pd
coefs = pd.read_csv(sys.argv[1], float_precision="round_trip")
alphas = [np.float64(a) for a in range(len(coefs))]
pickle.dump((coefs, alphas), open(sys.argv[2], "wb"), protocol=int(sys.argv[3]))
"""
    elsewhere(pandas_2, code, tmp_path / "coefs.csv", files(tmp_path)["coefs_alphas_pkl"], protocol)
    back = BootstrapModelResults.deserialize(**files(tmp_path))
    pd.testing.assert_frame_equal(back.bootstrap_coefs_df, results.bootstrap_coefs_df, check_exact=True)
    assert back.alpha_list == [float(i) for i in range(40)] and back.kept == results.kept


# ---------------------------------------------------------------- what is no level, and what is no file of intervals


@pytest.mark.parametrize("level", ["98-0", None, "", [98], "high", 0, 100, float("nan")])
def test_what_is_no_level_is_refused_in_one_sentence(level, results):
    with pytest.raises(InputError, match="ci_level .*percent"):
        results.extract_significant_coefficients(level)
    assert results.extract_significant_coefficients("95") == results.extract_significant_coefficients(95.0)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"98.0": 1}', '{"98.0": {"a": 1}}', '{"98.0": {"a": ["x", "y"]}}', "[" * 100_000])
def test_what_holds_no_intervals_is_refused_by_name(text, results, tmp_path):
    results.serialize(tmp_path)
    files(tmp_path)["ci_dict_json"].write_text(text)
    with pytest.raises(InputError, match="result_obj_ci.json does not hold intervals"):
        BootstrapModelResults.deserialize(**files(tmp_path))


def test_penalties_and_bootstraps_are_as_many(results, tmp_path):
    results.serialize(tmp_path)
    files(tmp_path)["coefs_alphas_pkl"].write_bytes(pickle.dumps((results.bootstrap_coefs_df, [0.1]), protocol=4))
    with pytest.raises(InputError, match="penalties for 1 of 40 bootstraps"):
        BootstrapModelResults.deserialize(**files(tmp_path))
