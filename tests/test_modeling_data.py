"""Every way in which two tables can be wrong, awkward or large; transforms and the top N against independent formulas."""

import dataclasses
import gzip
import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.config import TRANSFORMS, Config, InputError
from tfbpmodeling.modeling_data import (
    InputFile,
    ModelingData,
    Origin,
    load_modeling_data,
    looks_like_p_values,
    make_modeling_data,
    quantile_normalized,
    rank_scaled,
    read_table,
    top_genes,
    transform_predictors,
)

SHARED = Path(__file__).parents[2] / "shared"
YEAST = SHARED / "data" / "yeast"
N = 120


def tables(n=N, seed=0, columns=("TF01", "TF02", "TF03")):
    rng = np.random.default_rng(seed)
    ids = [f"G{i:03d}" for i in range(n)]
    x = pd.DataFrame(rng.gamma(0.5, 2, size=(n, len(columns))), index=ids, columns=list(columns))
    return pd.DataFrame({columns[0]: rng.normal(size=n)}, index=ids), x


def refused(call, *words):
    """The message of the InputError: one sentence line that holds all words."""
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, f"{word!r} not in: {message}"
    return message


# ---------------------------------------------------------------- reading: formats


@pytest.mark.parametrize(
    "name, sep",
    [("t.csv", ","), ("t.CSV", ","), ("t.tsv", "\t"), ("t.tab", "\t"), ("t.csv.gz", ","), ("t.tsv.gz", "\t"), ("t.tab.gz", "\t")]
    + [("t.txt", ","), ("t.txt", "\t"), ("t.txt.gz", "\t"), ("t", ","), ("t.dat", "\t")],
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_text_formats(tmp_path, name, sep, bom, newline):
    lines = [["gene", "A", "B"], ["007", "1", "0.5"], ["NA", "-2", ""]]
    raw = bom + newline.join(sep.join(line) for line in lines).encode() + newline.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    table = read_table(tmp_path / name)
    assert list(table.index) == ["007", "NA"] and list(table.columns) == ["A", "B"] and table.index.name == "gene"
    assert table["A"].tolist() == [1, -2] and table["B"].iloc[0] == 0.5 and np.isnan(table["B"].iloc[1])


def test_numbers_survive_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=5000), 10 ** rng.uniform(-300, 300, 5000), [0.1, 5e-324, 1.7976931348623157e308]])
    pd.DataFrame({"A": x}, index=[f"G{i}" for i in range(len(x))]).to_csv(tmp_path / "t.csv")
    assert np.array_equal(read_table(tmp_path / "t.csv")["A"].to_numpy(), x)


@pytest.mark.parametrize("index", ["column", "named", "unnamed text", "integers"])
def test_parquet(tmp_path, index):
    table = pd.DataFrame({"A": [1, 2], "B": [0.5, np.nan]})
    if index == "column":
        table.insert(0, "whatever", ["007", "NA"])
    elif index == "integers":
        table.index = [7, 3]
    else:
        table.index = pd.Index(["007", "NA"], name="gene_id" if index == "named" else None)
    table.to_parquet(tmp_path / "t.parquet")
    got = read_table(tmp_path / "t.parquet")
    assert list(got.index) == (["7", "3"] if index == "integers" else ["007", "NA"])
    assert list(got.columns) == ["A", "B"] and got["A"].tolist() == [1, 2]


def test_parquet_path_is_not_searched_for_partitions(tmp_path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    pd.DataFrame({"gene": ["a"], "A": [1.0]}).to_parquet(folder / "t.parquet")
    assert list(read_table(folder / "t.parquet").columns) == ["A"]


@pytest.mark.parametrize("first", ["", "gene", "A b", '"x,y"'])
def test_any_name_above_the_ids(tmp_path, first):
    (tmp_path / "t.csv").write_text(f"{first},TF01\n1,2\n010,3\n1e3,4\nnan,5\nTrue,6\n")
    assert list(read_table(tmp_path / "t.csv").index) == ["1", "010", "1e3", "nan", "True"]


def test_blank_lines_do_not_count(tmp_path):
    (tmp_path / "t.csv").write_text("\n\ngene,A\n\nx,1\n   \ny,2\n\n")
    assert read_table(tmp_path / "t.csv")["A"].to_dict() == {"x": 1, "y": 2}


def test_quoted_line_break_in_a_name(tmp_path):
    (tmp_path / "t.csv").write_text('gene,"two\nlines",B\nx,1,2\n"a ""b"" c",3,4\n')
    table = read_table(tmp_path / "t.csv")
    assert list(table.columns) == ["two\nlines", "B"] and list(table.index) == ["x", 'a "b" c'] and table["B"].tolist() == [2, 4]


# ---------------------------------------------------------------- reading: errors

BAD_FILES = {
    "empty": ("t.csv", b"", ["t.csv", "empty"]),
    "bom only": ("t.csv", b"\xef\xbb\xbf\n", ["empty"]),
    "blank": ("t.csv", b"\n \n", ["empty"]),
    "odd blanks": ("t.txt", "\u2028\n\x0b".encode(), ["empty"]),
    "empty gz": ("t.csv.gz", gzip.compress(b""), ["empty"]),
    "header only": ("t.csv", b"gene,A\n", ["no genes"]),
    "semicolon": ("t.csv", b"gene;A;B\nx;1;2\n", ["only one column", "';'", ".csv means comma", ".tsv means tab"]),
    "semicolon with commas and points": ("t.csv", b"gene;A\nx;0,5\ny;1.5\n", ["only one column", "';'"]),
    "tab in csv": ("t.csv", b"gene\tA\nx\t1\n", ["only one column", "'\\t'"]),
    "comma in tsv": ("t.tsv", b"gene,A\nx,1\n", ["only one column", "','"]),
    "ids only": ("t.csv", b"gene\nx\ny\n", ["only one column"]),
    "R header": ("t.csv", b"A,B\nx,1,2\ny,3,4\n", ["2 names in the header", "3 fields", "write.csv"]),
    "R header, one column": ("t.csv", b"A\nx,1\ny,3\n", ["1 names in the header", "2 fields"]),
    "short row": ("t.csv", b"gene,A,B\nx,1,2\ny,3\n", ["2 fields in row 2", "'y'", "3 in the header"]),
    "long row": ("t.csv", b"gene,A,B\nx,1,2,3\ny,3,4\n", ["4 fields in row 1", "'x'"]),
    "open quote": ("t.csv", b'gene,A\n"x,1\ny,2\n', ["quote"]),
    "zip": ("t.csv", b"PK\x03\x04abc", ["Excel", "export"]),
    "xls": ("t.csv", b"\xd0\xcf\x11\xe0abc", ["Excel", "export"]),
    "gzip without gz": ("t.csv", gzip.compress(b"gene,A\nx,1\n"), ["gzip", ".gz"]),
    "parquet named csv": ("t.csv", b"PAR1abc", ["Parquet", ".parquet"]),
    "utf-16": ("t.csv", "gene,A\nx,1\n".encode("utf-16"), ["UTF-16", "UTF-8"]),
    "nul": ("t.csv", b"gene,A\nx,\x001\n", ["binary", "CSV"]),
    "latin-1": ("t.csv", b"gene,A\nx,1\n\xe9,2\n", ["UTF-8", "0xe9", "line 3"]),
    "not gzip": ("t.csv.gz", b"gene,A\nx,1\n", ["gzip"]),
    "cut gzip": ("t.csv.gz", gzip.compress(b"gene,A\n" + os.urandom(500).hex().encode())[:-20], ["gzip"]),
    "damaged gzip": ("t.csv.gz", gzip.compress(b"gene,A\nx,1\n")[:12] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ["gzip"]),
    "broken parquet": ("t.parquet", b"PAR1 no more", ["Parquet", "CSV"]),
    "text named parquet": ("t.parquet", b"gene,A\nx,1\n", ["Parquet"]),
    "empty parquet": ("t.parquet", b"", ["empty"]),
    "double ids": ("t.csv", b"gene,A\nx,1\ny,2\nx,3\ny,4\nz,5\n", ["'x' (rows 1 and 3)", "'y' (rows 2 and 4)", "one row per gene"]),
    "many double ids": ("t.csv", b"gene,A\n" + b"".join(b"g%d,1\n" % (i % 5) for i in range(10)), ["'g0'", "2 more"]),
    "double columns": ("t.csv", b"gene,A,B,A\nx,1,2,3\n", ["'A'", "columns 2 and 4"]),
    "no column name": ("t.csv", b"gene,A,\nx,1,\n", ["column 3", "name"]),
    "empty id": ("t.csv", b"gene,A\nx,1\n,2\n", ["no gene id in row 2"]),
    "space before id": ("t.csv", b"gene,A\nx,1\n y,2\n", ["spaces", "' y'", "row 2"]),
    "space after id": ("t.csv", b"gene,A\nx ,1\ny,2\n", ["spaces", "'x '", "row 1"]),
    "blank id": ("t.csv", b"gene,A\n  ,1\ny,2\n", ["row 1"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(tmp_path, case):
    name, content, words = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    refused(lambda: read_table(tmp_path / name, "response table"), "response table", name, *words)


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "binding.csv").write_text("gene,A\nx,1\n")
    refused(lambda: read_table(tmp_path / "bindng.csv"), "bindng.csv", "does not exist", "Did you mean 'binding.csv'?")
    assert "Did you mean" not in refused(lambda: read_table(tmp_path / "zzz.parquet"), "does not exist")
    refused(lambda: read_table(tmp_path / "nowhere" / "t.csv"), "folder", "nowhere")
    refused(lambda: read_table(tmp_path), "is a directory")
    refused(lambda: read_table(""), "no table is given")
    refused(lambda: read_table(tmp_path / ("x" * 5000)), "cannot be read")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "p.csv")
    refused(lambda: read_table(tmp_path / "p.csv"), "no regular file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path):
    (tmp_path / "t.csv").write_text("gene,A\nx,1\n")
    (tmp_path / "t.csv").chmod(0)
    refused(lambda: read_table(tmp_path / "t.csv"), "cannot be read", "permission")


@pytest.mark.parametrize(
    "table, word",
    [
        (pd.DataFrame({"gene": ["a", "b"]}), "only one column"),
        (pd.DataFrame(index=pd.Index(["a"], name="gene")), "only one column"),
        (pd.DataFrame({"gene": pd.Series([], dtype=str), "A": pd.Series([], dtype=float)}), "no genes"),
        (pd.DataFrame({"gene": ["a", None], "A": [1.0, 2.0]}), "no gene id in row 2"),
        (pd.DataFrame({"gene": ["a", "a"], "A": [1.0, 2.0]}), "rows 1 and 2"),
        (pd.DataFrame({"A": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples([("a", "b"), ("c", "d")])), "2 levels"),
    ],
)
def test_bad_parquet_content(tmp_path, table, word):
    table.to_parquet(tmp_path / "t.parquet")
    refused(lambda: read_table(tmp_path / "t.parquet"), "t.parquet", word)


# ---------------------------------------------------------------- response column


def test_response_named_like_the_factor_wins():
    y, x = tables()
    wide = y.assign(other=1.5, text="t", gaps=np.nan)
    data = make_modeling_data(wide, x, "TF01")
    assert data.response_column == "TF01" and data.response.equals(make_modeling_data(y, x, "TF01").response)


def test_only_numeric_response():
    y, x = tables()
    data = make_modeling_data(
        pd.DataFrame({"symbol": "s", "log2FC": y["TF01"], "significant": True, "empty": np.nan}, index=y.index), x, "TF01"
    )
    assert data.response_column == "log2FC" and (data.response == y["TF01"].drop("TF01", errors="ignore")).all()


def test_ambiguous_or_absent_response():
    y, x = tables()
    two = y.rename(columns={"TF01": "TF1"}).assign(p=0.5)
    refused(
        lambda: make_modeling_data(two, x, "TF01", origin=Origin(response="r.csv")),
        "r.csv",
        "2 numeric columns",
        "'TF1', 'p'",
        "Did you mean 'TF1'?",
    )
    refused(lambda: make_modeling_data(y.assign(TF01="x").rename(columns={"TF01": "s"}), x, "TF01"), "no numeric column", "'s'")
    many = pd.concat([y["TF01"].rename(f"c{i}") for i in range(30)], axis=1)
    assert "'c8'" not in refused(lambda: make_modeling_data(many, x, "TF01"), "'c7'", "and 22 more")


def test_text_in_the_response_column():
    y, x = tables()
    bad = y.astype(object)
    bad.iloc[16, 0] = "abc"
    refused(lambda: make_modeling_data(bad, x, "TF01", origin=Origin(response="r.csv")), "r.csv", "'TF01'", "row 17", "'G016'", "'abc'")


# ---------------------------------------------------------------- predictors


@pytest.mark.parametrize(
    "value, hint", [("abc", "predictors are numbers"), ("0,5", "point"), ("<b>", "'<b>'"), ("2020-01-01", "take the column out")]
)
def test_text_in_a_predictor(tmp_path, value, hint):
    y, x = tables()
    bad = x.astype(object)
    bad.iloc[16, 1] = value
    y.to_csv(tmp_path / "r.csv")
    bad.to_csv(tmp_path / "binding.csv")
    config = Config(
        response_file=str(tmp_path / "r.csv"), predictors_file=str(tmp_path / "binding.csv"), perturbed_tf="TF01", missing="drop"
    )
    message = refused(
        lambda: load_modeling_data(config), f"column 'TF02' of binding.csv holds text in row 17 (gene 'G016') ({value!r})", hint
    )
    assert str(tmp_path) not in message


def test_dates_are_text(tmp_path):
    y, x = tables()
    refused(lambda: make_modeling_data(y, x.assign(day=pd.Timestamp("2020-01-01")), "TF01"), "'day'", "row 1")


MARKERS = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A"]


@pytest.mark.parametrize("marker", [*MARKERS, "inf", "-inf", "Inf"])
def test_missing_and_infinite(tmp_path, marker):
    y, x = tables()
    bad = x.astype(object)
    bad.iloc[[4, 9], [1]] = marker
    y.to_csv(tmp_path / "r.csv")
    bad.to_csv(tmp_path / "b.csv")
    config = Config(response_file=str(tmp_path / "r.csv"), predictors_file=str(tmp_path / "b.csv"), perturbed_tf="TF01")
    what = "no value" if marker in MARKERS else "the value"
    refused(lambda: load_modeling_data(config), f"'TF02' of b.csv has {what}", "row 5", "'G004'", "2 of 120 genes", "--missing drop")
    data = load_modeling_data(dataclasses.replace(config, missing="drop"))
    assert data.dropped["missing values"] == ("G004", "G009") and data.n_genes == N - 2
    assert np.isfinite(data.predictors.to_numpy()).all()


def test_missing_response_and_the_first_place():
    y, x = tables()
    y.iloc[[8, 3], 0] = np.nan
    x.iloc[0, 0] = np.inf
    shuffled = y.sample(frac=1, random_state=1)
    row = int(np.flatnonzero(shuffled["TF01"].isna())[0])
    refused(lambda: make_modeling_data(shuffled, x, "TF01"), f"row {row + 1} (gene {shuffled.index[row]!r})", "3 of 120")
    assert make_modeling_data(y, x, "TF01", missing="drop").dropped["missing values"] == ("G000", "G003", "G008")


def test_gaps_in_genes_that_are_not_used_do_not_matter():
    y, x = tables()
    x.loc["G001", "TF02"] = np.nan
    x.loc["extra"] = np.nan
    data = make_modeling_data(y, x, "TF01", blacklist=["G001"])
    assert data.n_genes == N - 1 and data.dropped["missing values"] == ()


def test_every_gene_missing():
    y, x = tables()
    refused(lambda: make_modeling_data(y, x.assign(empty=np.nan), "TF01", missing="drop"), "every one of the 120 genes", "'empty'")


def test_bool_columns_are_numbers(tmp_path):
    y, x = tables()
    x["flag"] = np.arange(N) % 2 == 0
    for table in (x, x.astype({"flag": "boolean"}), x.astype({"flag": object})):
        assert make_modeling_data(y, table, "TF01").predictors["flag"].tolist() == [1.0, 0.0] * (N // 2)
    x.to_csv(tmp_path / "b.csv")
    assert make_modeling_data(y, read_table(tmp_path / "b.csv"), "TF01").predictors["flag"].sum() == N / 2
    gap = x.astype({"flag": object})
    gap.iloc[0, 3] = None
    gap.to_csv(tmp_path / "gap.csv")
    assert make_modeling_data(y, read_table(tmp_path / "gap.csv"), "TF01", missing="drop").dropped["missing values"] == ("G000",)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "Float64", "float32", "uint8", "category", "string"])
def test_every_kind_of_number(dtype):
    y, x = tables()
    x["n"] = (np.arange(N) % 7).astype("int64")
    table = x.astype({"n": dtype}) if dtype != "string" else x.assign(n=x["n"].astype(str).astype("string"))
    got = make_modeling_data(y, table, "TF01").predictors
    assert (got["n"] == x["n"]).all() and (got.dtypes == np.float64).all()


def test_perturbed_tf_must_be_a_column():
    y, x = tables()
    refused(
        lambda: make_modeling_data(y, x, "tf01", origin=Origin(predictors="b.csv")), "--perturbed_tf tf01", "b.csv", "Did you mean 'TF01'?"
    )
    refused(lambda: make_modeling_data(y, x, ""), "--perturbed_tf is empty")


@pytest.mark.parametrize("name", ["row_max", "TF01:TF02", "TF02:TF02", "I(TF02 ** 2)", "I(TF01 ** 3)", "TF01:a:b"])
def test_names_of_terms_are_refused(name):
    y, x = tables()
    refused(lambda: make_modeling_data(y, x.assign(**{"a:b": 1.0, name: 2.0}), "TF01"), repr(name), "rename", "term")


AWKWARD = [
    "YKL112W-A",
    "1TF",
    "red median",
    "a,b",
    'say "x"',
    "it's",
    "<script>alert(1)",
    "__import__('os').system('x')",
    "Ünïcode λ",
    "C",
    "class",
    "ROW_MAX",
    "TF01:unknown",
    "I(unknown ** 2)",
    "I(TF01 ** 4)",
    ":",
    "NA",
    "1.5",
    "a\tb",
    " padded ",
    "index",
    "gene",
    "0",
]


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet"])
def test_awkward_names_are_data(tmp_path, name, ending):
    y, x = tables(columns=(name, "TF01", "</a/b\\c>"))
    for stem, table in (("r", y), ("b", x)):
        path = tmp_path / f"{stem}.{ending}"
        if ending == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, sep="\t" if "tsv" in ending else ",")
    data = load_modeling_data(
        Config(response_file=str(tmp_path / f"r.{ending}"), predictors_file=str(tmp_path / f"b.{ending}"), perturbed_tf=name)
    )
    assert list(data.predictors.columns) == [name, "TF01", "</a/b\\c>"] and data.response_column == name
    assert np.array_equal(data.binding.to_numpy(), x[name].to_numpy())
    assert "<script>" not in data._repr_html_()


# ---------------------------------------------------------------- genes


def test_genes_and_reasons(caplog):
    y, x = tables()
    x = pd.concat([x.rename(index={"G005": "TF01"}), x.iloc[:1].rename(index={"G000": "onlyx"})])
    y = pd.concat([y.rename(index={"G005": "TF01"}), y.iloc[:1].rename(index={"G000": "onlyy"})])
    with caplog.at_level(logging.DEBUG, logger="tfbpmodeling.modeling_data"):
        data = make_modeling_data(y, x, "TF01", blacklist=["G001", " G002\t", "", "nobody", "onlyx"])
    assert data.dropped == {
        "only in response": ("onlyy",),
        "only in predictors": ("onlyx",),
        "blacklisted": ("G001", "G002"),
        "perturbed gene": ("TF01",),
        "missing values": (),
    }
    assert list(data.genes) == sorted(set(y.index) & set(x.index) - {"G001", "G002", "TF01"}) and data.genes.name == "gene"
    assert "1 blacklisted ids are in neither table" in caplog.text
    assert data.response.index.equals(data.predictors.index) and data.response.dtype == np.float64


def test_sorted_as_text_whatever_the_order():
    y, x = tables()
    ids = [str(i) for i in range(N - 3)] + ["Z", "a", "é"]
    y.index, x.index = ids, ids
    one = make_modeling_data(y, x, "TF01")
    other = make_modeling_data(y.sample(frac=1, random_state=1), x.sample(frac=1, random_state=2), "TF01")
    assert list(one.genes) == sorted(ids)
    assert one.predictors.equals(other.predictors) and one.response.equals(other.response)


@pytest.mark.parametrize("how", TRANSFORMS[:4])
def test_row_order_does_not_matter_to_transforms(how):
    y, x = tables()
    x.iloc[::3, 1] = 0
    one = make_modeling_data(y, x, "TF01", transform=how)
    other = make_modeling_data(y.iloc[::-1], x.sample(frac=1, random_state=2), "TF01", transform=how)
    assert one.predictors.equals(other.predictors) and one.transform == how


def test_no_common_genes():
    y, x = tables()
    refused(lambda: make_modeling_data(y, x.add_prefix("x", axis=0), "TF01"), "no gene in common", "'G000'", "'xG000'")
    refused(lambda: make_modeling_data(y, x.rename(index=str.lower), "TF01"), "upper and lower case")
    refused(lambda: make_modeling_data(y, x, "TF01", blacklist=list(y.index)), "blacklist removes every gene", "120")
    only = {"G000": "TF01"}
    refused(lambda: make_modeling_data(y.iloc[:1].rename(index=only), x.iloc[:1].rename(index=only), "TF01"), "perturbed gene only")


def test_constant_binding_on_the_genes_in_use():
    y, x = tables()
    x["TF01"] = 0.0
    x.loc["extra"] = 5.0
    refused(
        lambda: make_modeling_data(y, x, "TF01", origin=Origin(predictors="b.csv")), "'TF01' of b.csv", "same value (0) for all 120 genes"
    )


def test_tables_made_in_python_are_checked_too():
    y, x = tables()
    refused(lambda: make_modeling_data(pd.concat([y, y]), x, "TF01"), "response table", "'G000'")
    refused(lambda: make_modeling_data(y, pd.concat([x, x], axis=1), "TF01"), "predictors table", "'TF01'")
    refused(lambda: make_modeling_data(y, x, "TF01", missing="dorp"), "--missing dorp", "'drop'")
    refused(lambda: make_modeling_data(y, x, "TF01", transform="log"), "--transform_predictors log", "'log1p'")
    refused(lambda: make_modeling_data(y, x, "TF01", blacklist="G001"), "list of gene ids")


def test_the_arguments_are_not_changed():
    y, x = tables()
    y0, x0 = y.copy(), x.copy()
    data = make_modeling_data(y, x, "TF01", transform="rank")
    data.predictors.iloc[:] = -1
    pd.testing.assert_frame_equal(y, y0)
    pd.testing.assert_frame_equal(x, x0)


# ---------------------------------------------------------------- transforms


def test_transform_names_are_the_options_choices():
    (field,) = [f for f in dataclasses.fields(Config) if f.name == "transform_predictors"]
    assert field.metadata["choices"] == TRANSFORMS


@pytest.mark.parametrize("seed", range(3))
def test_rank_by_counting(seed):
    x = pd.DataFrame(np.random.default_rng(seed).integers(0, 9, (40, 3)).astype(float))
    counted = [[(x[j] < x.loc[i, j]).sum() / 39 for j in x] for i in x.index]
    assert np.array_equal(rank_scaled(x).to_numpy(), np.array(counted))


@pytest.mark.parametrize("seed", range(3))
def test_quantile_by_definition(seed):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(np.where(rng.random((50, 4)) < 0.5, 0, rng.integers(0, 20, (50, 4))).astype(float))
    mean = np.sort(x.to_numpy(), axis=0).mean(axis=1)
    expected = np.empty(x.shape)
    for i in range(50):
        for j in range(4):
            below, ties = (x[j] < x.loc[i, j]).sum(), (x[j] == x.loc[i, j]).sum()
            expected[i, j] = mean[below : below + ties].mean()
    np.testing.assert_allclose(quantile_normalized(x).to_numpy(), expected, rtol=1e-13)


def test_quantile_without_ties_gives_one_distribution():
    x = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 5)))
    out = np.sort(quantile_normalized(x).to_numpy(), axis=0)
    assert (out == out[:, :1]).all()


def test_log1p_and_its_range():
    y, x = tables()
    assert np.array_equal(make_modeling_data(y, x, "TF01", transform="log1p").predictors.to_numpy(), np.log1p(x.to_numpy()))
    x.loc["G007", "TF03"] = -0.25
    refused(lambda: make_modeling_data(y, x, "TF01", transform="log1p"), "'TF03'", "'G007'", "-0.25", "log1p", "at least 0")


def test_neglog10p_and_zeros():
    y, x = tables()
    p = x.rank() / N
    p.loc["G000", "TF01"], p.loc["G001", "TF02"], p.loc["G002", "TF02"] = 0, 0, 1e-30
    data = make_modeling_data(y, p, "TF01", transform="neglog10p")
    expected = p.to_numpy().copy()
    expected[expected == 0] = 1e-30
    np.testing.assert_allclose(data.predictors.to_numpy(), -np.log10(expected), rtol=1e-14)
    assert not np.signbit(data.predictors.to_numpy()).any()
    assert any("2 p-values of 0" in w and "1e-30" in w for w in data.warnings) and not any("reverse" in w for w in data.warnings)
    refused(lambda: make_modeling_data(y, p.assign(red_median=7.5), "TF01", transform="neglog10p"), "'red_median'", "7.5", "from 0 to 1")


def test_transform_sees_the_genes_in_use_only():
    y, x = tables()
    x.loc["extra"] = -100.0
    data = make_modeling_data(y, x, "TF01", transform="log1p", blacklist=["G000"])
    ranked = make_modeling_data(y, x, "TF01", transform="rank", blacklist=["G000"])
    assert (data.predictors > 0).all(axis=None) and (ranked.predictors.min() == 0).all() and (ranked.predictors.max() == 1).all()


def test_none_changes_nothing():
    _, x = tables()
    out, warnings = transform_predictors(x, "none")
    assert out.equals(x) and warnings == ()


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize("n", [300, 573, 6000])
@pytest.mark.parametrize("seed", range(5))
def test_p_values_are_seen_and_scores_are_not(n, seed):
    rng = np.random.default_rng(seed)
    bound = rng.random(n) < 0.08
    strong = 10 ** -rng.uniform(2, 10, n)
    assert looks_like_p_values(np.where(bound, strong, rng.random(n)))
    assert looks_like_p_values(np.where(bound, strong, 1.0))
    scores = np.where(bound, rng.random(n), 0)
    assert not looks_like_p_values(scores / scores.max())
    assert not looks_like_p_values(rng.permutation(n) / (n - 1))
    assert not looks_like_p_values((rng.permutation(n) + 1) / n)
    exponential = rng.exponential(size=n)
    assert not looks_like_p_values(exponential / exponential.max())
    assert not looks_like_p_values(rng.normal(size=n))
    assert not looks_like_p_values(np.where(bound, 1.0, 0.0)) and not looks_like_p_values(np.where(bound, 0.0, 1.0))


def test_p_value_warning_and_when_it_is_silent():
    y, x = tables(2000)
    rng = np.random.default_rng(0)
    x["TF01"] = np.where(rng.random(2000) < 0.1, 1e-9, rng.random(2000))
    for how in ("none", "rank"):
        (warning,) = make_modeling_data(y, x, "TF01", transform=how).warnings
        assert "looks like p-values" in warning and "neglog10p" in warning and "top N" in warning
    assert make_modeling_data(y, x / x.max(), "TF01", transform="neglog10p").warnings[-1:] != (warning,)


def test_few_genes_warning():
    y, x = tables(100)
    (warning,) = make_modeling_data(y, x, "TF01").warnings
    assert "100 genes" in warning
    assert make_modeling_data(*tables(101), "TF01").warnings == ()


# ---------------------------------------------------------------- top N


def brute_top(binding: pd.Series, n: int) -> list[str]:
    """Largest whole tie groups whose cumulative count is at most n, with pandas."""
    sizes = binding.groupby(binding).size().sort_index(ascending=False).cumsum()
    return sorted(binding.index[binding.isin(sizes.index[sizes <= n])])


@pytest.mark.parametrize("seed", range(6))
def test_top_against_brute_force(seed):
    y, x = tables(110, seed=seed)
    x["TF01"] = np.random.default_rng(seed).integers(0, [3, 10, 40, 1000, 2, 110][seed], 110).astype(float)
    data = make_modeling_data(y, x, "TF01")
    for n in range(1, 125):
        expected = brute_top(data.binding, n)
        if not expected:
            size = int((data.binding == data.binding.max()).sum())
            refused(lambda n=n: data.top(n), f"--top_n {n}", f"{size} genes share", f"--top_n {size} or more")
            assert data.top(size).n_genes == size
            continue
        top = data.top(n)
        assert list(top.genes) == expected and top.n_genes <= n
        assert top.response.equals(data.response[expected]) and top.predictors.equals(data.predictors.loc[expected])
    assert data.top(10**6).n_genes == 110


def test_top_keeps_everything_else():
    data = make_modeling_data(*tables(), "TF01", transform="rank", gene_names={"G000": "ACT1"})
    top = data.top(30)
    assert isinstance(top, ModelingData) and data.n_genes == N
    for field in ("perturbed_tf", "response_column", "dropped", "warnings", "inputs", "gene_names", "transform"):
        assert getattr(top, field) == getattr(data, field)
    refused(lambda: data.top(0), "--top_n 0")
    assert top_genes(np.array([1.0, 2.0]), 1).tolist() == [False, True]


# ---------------------------------------------------------------- files of a run


def write_run(folder, **changes):
    y, x = tables()
    y.to_csv(folder / "r.csv")
    x.to_csv(folder / "b.csv")
    options = dict(response_file=str(folder / "r.csv"), predictors_file=str(folder / "b.csv"), perturbed_tf="TF01")
    return Config(**options | changes)


def test_inputs_are_recorded(tmp_path):
    (tmp_path / "black.txt").write_bytes(b"\xef\xbb\xbfG001\r\n\r\n  G002  \r\nunknown\r\n")
    (tmp_path / "names.tsv").write_text("id\tname\textra\nG003\tACT1\tx\nG004\t\tx\nunknown\tNA\tx\nG005\t007\tx\n")
    config = write_run(tmp_path, blacklist_file=str(tmp_path / "black.txt"), gene_names=str(tmp_path / "names.tsv"))
    data = load_modeling_data(config)
    assert [f.option for f in data.inputs] == ["response_file", "predictors_file", "blacklist_file", "gene_names"]
    for f in data.inputs:
        assert isinstance(f, InputFile) and f.path == getattr(config, f.option)
        assert f.sha256 == hashlib.sha256(Path(f.path).read_bytes()).hexdigest()
    assert data.dropped["blacklisted"] == ("G001", "G002")
    assert data.gene_names == {"G003": "ACT1", "unknown": "NA", "G005": "007"}
    assert data.name("G003") == "ACT1" and data.name("G004") == "G004" and data.name("never heard") == "never heard"
    assert [f.option for f in load_modeling_data(write_run(tmp_path)).inputs] == ["response_file", "predictors_file"]


@pytest.mark.parametrize(
    "name, text",
    [
        ("names.csv", "id,name\nG1,A\nG2,7\n"),
        ("names.csv", "gene,alias,name\nG1,x,A\nG2,y,7\n"),
        ("names.parquet", ""),
    ],
)
def test_gene_names_tables(tmp_path, name, text):
    if text:
        (tmp_path / name).write_text(text)
    else:
        pd.DataFrame({"id": ["G1", "G2", "G3"], "name": ["A", "7", None]}).to_parquet(tmp_path / name)
    assert load_modeling_data(write_run(tmp_path, gene_names=str(tmp_path / name))).gene_names == {"G1": "A", "G2": "7"}


def test_bad_side_files(tmp_path):
    (tmp_path / "names.csv").write_text("id,name\nG1,A\nG1,B\n")
    refused(lambda: load_modeling_data(write_run(tmp_path, gene_names=str(tmp_path / "names.csv"))), "gene names table", "'G1'")
    refused(lambda: load_modeling_data(write_run(tmp_path, gene_names=str(tmp_path / "nam.csv"))), "Did you mean 'names.csv'?")
    (tmp_path / "black.txt").write_text("G001\n")
    refused(lambda: load_modeling_data(write_run(tmp_path, blacklist_file=str(tmp_path / "blck.txt"))), "blacklist", "'black.txt'")
    refused(lambda: load_modeling_data(write_run(tmp_path, blacklist_file=str(tmp_path))), "blacklist", "directory")
    (tmp_path / "bin.txt").write_bytes(b"\0\1")
    refused(lambda: load_modeling_data(write_run(tmp_path, blacklist_file=str(tmp_path / "bin.txt"))), "blacklist", "binary")
    (tmp_path / "none.txt").write_text("")
    assert load_modeling_data(write_run(tmp_path, blacklist_file=str(tmp_path / "none.txt"))).n_genes == N


@pytest.mark.parametrize("option", ["response_file", "predictors_file", "perturbed_tf"])
def test_what_a_run_needs(tmp_path, option):
    refused(lambda: load_modeling_data(write_run(tmp_path, **{option: ""})), f"--{option}")


def test_two_files_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    y, x = tables()
    y.to_csv(tmp_path / "a" / "t.csv")
    x.add_prefix("x", axis=0).to_csv(tmp_path / "b" / "t.csv")
    a, b = str(tmp_path / "a" / "t.csv"), str(tmp_path / "b" / "t.csv")
    refused(lambda: load_modeling_data(Config(response_file=a, predictors_file=b, perturbed_tf="TF01")), a, b)


def test_config_options_arrive(tmp_path):
    y, x = tables()
    x.iloc[3, 1] = np.nan
    config = write_run(tmp_path, missing="drop", transform_predictors="rank")
    x.to_csv(tmp_path / "b.csv")
    data = load_modeling_data(config)
    pd.testing.assert_frame_equal(
        data.predictors, rank_scaled(x.dropna()), check_names=False, check_index_type=False, check_column_type=False
    )
    assert data.transform == "rank"


# ---------------------------------------------------------------- displays


def test_displays_are_short_and_escaped():
    y, x = tables(columns=("<b>x</b>", "TF02"))
    data = make_modeling_data(y.iloc[:90], x, "<b>x</b>")
    page = data._repr_html_()
    assert "<b>x" not in page and "&lt;b&gt;x" in page and "Warning" in page and len(page) < 2000
    assert len(repr(data)) < 400 and "90" in repr(data) and "\n" not in repr(data)


def test_frozen():
    data = make_modeling_data(*tables(), "TF01")
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.transform = "rank"


# ---------------------------------------------------------------- real tables


@pytest.mark.skipif(not YEAST.exists(), reason="the shared yeast tables are not here")
@pytest.mark.parametrize("factor", ["YOR028C", "YHR084W", "YML007W", "YMR037C", "YDR259C"])
def test_yeast(factor):
    config = Config(
        response_file=str(YEAST / "response_tfko.csv.gz"), predictors_file=str(YEAST / "binding.csv.gz"), perturbed_tf=factor, top_n=600
    )
    data = load_modeling_data(config)
    x = pd.read_csv(YEAST / "binding.csv.gz", index_col=0)
    y = pd.read_csv(YEAST / "response_tfko.csv.gz", index_col=0)
    genes = sorted(set(x.index) & set(y.index) - {factor})
    assert list(data.genes) == genes and data.response_column == factor and data.warnings == ()
    np.testing.assert_allclose(data.predictors.to_numpy(), x.loc[genes].to_numpy(), rtol=1e-15)
    np.testing.assert_allclose(data.response.to_numpy(), y.loc[genes, factor].to_numpy(), rtol=1e-15)
    bound = int((data.binding > 0).sum())
    assert list(data.top(bound).genes) == brute_top(data.binding, bound)


@pytest.mark.skipif(not YEAST.exists(), reason="the shared yeast tables are not here")
def test_yeast_cell_cycle_has_gaps(tmp_path):
    y = read_table(YEAST / "response_cell_cycle_cdc15.csv.gz")
    x = read_table(YEAST / "binding.csv.gz")
    assert y.shape == (6059, 24) and x.shape == (6352, 231)
    one = y[["cdc15_90"]]
    refused(lambda: make_modeling_data(one, x, "YDR259C"), "'cdc15_90'", "--missing drop")
    data = make_modeling_data(one, x, "YDR259C", missing="drop")
    assert len(data.dropped["missing values"]) == one["cdc15_90"].drop("YDR259C", errors="ignore").isna().sum()
    refused(lambda: make_modeling_data(y, x, "YDR259C"), "24 numeric columns")
    refused(lambda: data.top(6), "genes share the strongest binding") if (data.binding == data.binding.max()).sum() > 6 else data.top(6)
