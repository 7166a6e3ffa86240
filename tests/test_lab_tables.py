"""Tables as laboratories hold them: every form is read as the same numbers, and every example of docs/input_formats.md is run."""

import dataclasses
import gzip
import io
import logging
import re
import shlex
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.batch_tables import counting_options, factor_files, read_sources
from tfbpmodeling.cli import make_parser
from tfbpmodeling.command_line import options_from
from tfbpmodeling.config import BatchConfig, Config, InputError
from tfbpmodeling.modeling_data import load_modeling_data, make_modeling_data, read_tables
from tfbpmodeling.tables import MOST_CELLS, SMALL, TableReader, read_table, replicate_columns

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "cases" / "tables"
GENES = [f"Y{i:03d}W" for i in range(60)]
LONG = "gene=gene,factor=tf,value=score"


def refused(call, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert not [word for word in words if word not in message], message
    assert "\n" not in message
    return message


# ---------------------------------------------------------------- the page

PAGE = (ROOT / "docs" / "input_formats.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Tables as labs hold them") : PAGE.index("## Check before you run")]
EXAMPLES = re.findall(r"<!-- (?:(\S+): )?(good|bad)(?:: (.*?))? -->\n\n```(\w+)\n(.*?)```(?:\n\n```text\n(.*?)\n```)?", SECTION, re.DOTALL)
TABLE = EXAMPLES[0][4]
RESPONSE = {"YQL001W": 1.0, "YQL002W": 2.0, "YQL003W": 2.0}


def test_every_example_of_the_page_is_found():
    assert SECTION.count("<!--") == len(EXAMPLES) and SECTION.count("```") == 2 * (len(EXAMPLES) + sum(bool(e[5]) for e in EXAMPLES))
    kinds = [[e[1] for e in re.findall(r"<!-- ((?:\S+: )?)(good|bad)", part)] for part in SECTION.split("\n### ")[1:]]
    assert len(kinds) == 8 and all({"good", "bad"} == set(k) for k in kinds[:-1]), "each case has a good and a bad example"


@pytest.mark.parametrize("i", range(len(EXAMPLES)), ids=lambda i: f"{EXAMPLES[i][0] or 'files'} {EXAMPLES[i][1]} {EXAMPLES[i][2]}".strip())
def test_example_of_the_page(tmp_path, monkeypatch, i):
    name, kind, options, language, text, error = EXAMPLES[i]
    monkeypatch.chdir(tmp_path)
    Path("predictors.csv").write_text(TABLE)
    Path("response.csv").write_text("gene,XAB1\n" + "".join(f"{g},{v}\n" for g, v in RESPONSE.items()))
    files = [name or "predictors.csv"]
    if language == "python":
        pytest.importorskip("openpyxl", reason="needs the extra excel")
        before = set(tmp_path.iterdir())
        exec(text, dict(pd=pd, zipfile=zipfile, table=pd.read_csv(io.StringIO(TABLE))))
        files = sorted(p.name for p in set(tmp_path.iterdir()) - before)
    else:
        Path(name).write_text(text)
    for file in files:
        given = ["--predictors_file", file if "predictors" in file else "predictors.csv", *shlex.split(options)]
        words = ["--response_file", "response.csv", "--perturbed_tf", "XAB1", *given]
        config = options_from(make_parser("check").parse_words(words), Config)
        if kind == "bad":
            assert error and refused(lambda config=config: load_modeling_data(config)) == error
            continue
        tables = read_tables(config)
        expected = pd.read_csv(io.StringIO(TABLE), index_col="gene").astype(float)
        pd.testing.assert_frame_equal(tables.predictors[["XAB1", "XEB1"]].astype(float), expected, check_exact=True)
        assert tables.response["XAB1"].to_dict() == RESPONSE
        if "--id_column" in options:
            assert tables.gene_names == {"YQL001W": "TFC3", "YQL002W": "VPS8", "YQL003W": "EFB1"}
    assert len(files) == (3 if not name else 1)


# ---------------------------------------------------------------- the same numbers, whatever the form


@pytest.fixture
def plain(tmp_path, monkeypatch) -> pd.DataFrame:
    "Binding of 60 genes by P, A, B with all 16 digits and ids that look like other things; response.csv beside it."
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ids = ["007", "NA", "1e5", *GENES[3:]]
    table = pd.DataFrame(rng.lognormal(0, 1, (60, 3)) / 3, index=pd.Index(ids, name="gene"), columns=["P", "A", "B"])
    table.to_csv("binding.csv")
    pd.DataFrame({"P": rng.normal(size=60)}, index=table.index).to_csv("response.csv")
    return table


def config(**options) -> Config:
    return Config(**dict(response_file="response.csv", predictors_file="binding.csv", perturbed_tf="P") | options)


def same(table: pd.DataFrame, expected: pd.DataFrame, digits: float = 0) -> None:
    assert list(table.index) == list(expected.index) and list(table.columns) == list(expected.columns)
    np.testing.assert_allclose(table.to_numpy(dtype=float), expected.to_numpy(), rtol=digits)


OF_A_SHEET = 1e-15  # openpyxl, with which the tests write sheets, writes 16 of the 17 digits of a number


def as_long(table: pd.DataFrame, seed: int | None = None) -> pd.DataFrame:
    long = table.rename_axis(columns="tf").stack().rename("score").reset_index()
    return long if seed is None else long.sample(frac=1, random_state=seed)


@pytest.mark.parametrize("name", ["b.csv.gz", "b.csv.bz2", "b.csv.xz", "b.csv.zst", "b.csv.zip", "b.tsv.zip", "b.feather", "b.xlsx"])
def test_every_kind_of_file(plain, name):
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl", reason="needs the extra excel")
        plain.to_excel(name)
    elif name.endswith("feather"):
        plain.reset_index().to_feather(name)
    elif name.endswith("zst"):
        Path(name).write_bytes(zst(Path("binding.csv").read_bytes()))
    else:
        plain.to_csv(name, sep="\t" if "tsv" in name else ",")
    same(read_table(name), plain, OF_A_SHEET * name.endswith("xlsx"))


def zst(content: bytes) -> bytes:
    pa = pytest.importorskip("pyarrow")
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_long_tables(plain, ending):
    long = as_long(plain).assign(note="x")[["note", "score", "tf", "gene"]]
    if ending == "xlsx":
        pytest.importorskip("openpyxl", reason="needs the extra excel")
    {"csv": long.to_csv, "parquet": long.to_parquet, "xlsx": long.to_excel}[ending](f"long.{ending}", index=False)
    given = config(predictors_file=f"long.{ending}", long=LONG)
    same(read_tables(given).predictors, plain, OF_A_SHEET * (ending == "xlsx"))
    expected, got = load_modeling_data(config()), load_modeling_data(given)
    same(got.predictors, expected.predictors, OF_A_SHEET * (ending == "xlsx"))
    assert got.response.equals(expected.response)


def test_rows_of_a_long_table_in_any_order(plain):
    as_long(plain, seed=1).to_csv("long.csv", index=False)
    got = load_modeling_data(config(predictors_file="long.csv", long=LONG)).predictors
    assert got[["P", "A", "B"]].equals(load_modeling_data(config()).predictors)


def test_both_tables_long_with_different_columns(plain):
    as_long(plain).to_csv("long.csv", index=False)
    response = read_table("response.csv")
    response.rename_axis(columns="tf").stack().rename("log2FC").reset_index().to_csv("y.csv", index=False)
    both = config(response_file="y.csv", predictors_file="long.csv", long=[LONG, "gene=gene,factor=tf,value=log2FC"])
    assert load_modeling_data(both).predictors.equals(load_modeling_data(config()).predictors)
    assert Config(**both.to_dict()) == both and Config(long=LONG).long != ()


def test_a_pair_that_is_not_in_the_file_is_missing(plain):
    as_long(plain).iloc[:-1].to_csv("long.csv", index=False)
    given = config(predictors_file="long.csv", long=LONG)
    refused(lambda: load_modeling_data(given), "column 'B'", f"gene '{plain.index[-1]}'", "--missing drop")
    data = load_modeling_data(dataclasses.replace(given, missing="drop"))
    assert data.dropped["missing values"] == (plain.index[-1],)


@pytest.mark.parametrize("swap", [False, True])
def test_the_shape_of_a_long_table_is_recognised(plain, swap):
    long = as_long(plain, seed=2)
    long[["tf", "gene", "score"] if swap else ["gene", "tf", "score"]].to_csv("long.csv", index=False)
    refused(lambda: read_table("long.csv"), "more than one row", f"--long {LONG}")
    long.assign(p=0.5).to_csv("long.csv", index=False)
    refused(lambda: read_table("long.csv"), "--long gene=gene,factor=tf,value=COLUMN")


def test_a_table_with_one_gene_twice_is_not_called_long(plain):
    pd.concat([plain, plain.iloc[:1]]).assign(strand="+").to_csv("b.csv", index_label="gene")
    assert "--long" not in refused(lambda: read_table("b.csv"), "more than one row")


@pytest.mark.parametrize(
    "rows, words",
    [
        ("x,A,1\nx,A,2\n", ["gene 'x' with factor 'A'", "more than one row"]),
        ("x,A,1\nx,,2\n", ["('x', '')", "row 2"]),
        ("x,A,1\n y,A,2\n", ["' y'", "row 2"]),
        ("x,A,1\ny,A,bound\n", ["'score'", "row 2", "'bound'"]),
        ("".join(f"x{i},A{i},1\n" for i in range(4000)), ["4,000 genes", "4,000 factors", "--long"]),
    ],
)
def test_bad_long_tables(tmp_path, rows, words):
    (tmp_path / "t.csv").write_text(f"gene,tf,score\n{rows}")
    refused(lambda: read_table(tmp_path / "t.csv", reader=TableReader(Config(long=LONG))), *words)


@pytest.mark.parametrize("line", ["gene=a", "gene=a,factor=b", "gene=a,factor=b,score=c", "gene=a,factor=a,value=c", "gene=a,factor=,value=c", "x"])
def test_bad_long_options(line):
    refused(lambda: Config(long=line), f"--long {line}", "gene=gene,factor=tf,value=score")


def test_two_values_of_one_long_table_are_refused(plain):
    as_long(plain).assign(p=0.5).to_csv("long.csv", index=False)
    refused(lambda: read_tables(config(predictors_file="long.csv", long=[LONG, "gene=gene,factor=tf,value=p"])), "fit the same table")


# ---------------------------------------------------------------- semicolons


def test_semicolons_to_the_last_digit(plain, caplog):
    plain.to_csv("b.csv", sep=";", decimal=",")
    with caplog.at_level(logging.INFO):
        same(read_table("b.csv"), plain)
    assert "decimal commas" in caplog.text


@pytest.mark.parametrize(
    "text",
    ["g;A\nx;1\n", "g;A\nx;0.5\n", "g;A;B\nx;0,5;1.5\n", "g;A\nx;1,234\ny;2,500\n", "g;A;B\nx;0,5\n", "g;A\nx;y,z\n"],
)
def test_semicolons_that_leave_something_open_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    refused(lambda: read_table(tmp_path / "t.csv"), "only one column", "';'")


@pytest.mark.parametrize("cell, value", [("-0,5", -0.5), (",5", 0.5), ("1,5e-3", 1.5e-3), ("1234,5", 1234.5), ("", np.nan)])
def test_numbers_with_a_comma(tmp_path, cell, value):
    (tmp_path / "t.csv").write_text(f"g;A\nx;{cell}\ny;0,25\n")
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv")["A"], [value, 0.25])


# ---------------------------------------------------------------- compressed files and Excel


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "zst", "zip"])
def test_damaged_and_swollen_files(plain, name):
    if name == "zst":
        packed, bomb = zst(Path("binding.csv").read_bytes()), zst(bytes(SMALL + 1))
    else:
        plain.to_csv(f"b.csv.{name}")
        packed, bomb = Path(f"b.csv.{name}").read_bytes(), None
    for cut in (packed[: len(packed) // 2], packed[:-6], b"gene,A\nx,1\n"):
        Path(f"c.csv.{name}").write_bytes(cut)
        refused(lambda: read_table(f"c.csv.{name}"), f"c.csv.{name}", "whole", f"take .{name} off")
    Path("named.csv").write_bytes(packed)
    refused(lambda: read_table("named.csv"), f".{name}")
    if bomb is None:
        bomb = gzip.compress(bytes(SMALL + 1), 1) if name == "gz" else None
    if bomb:
        Path(f"bomb.csv.{name}").write_bytes(bomb)
        refused(lambda: read_table(f"bomb.csv.{name}"), "unpacks to more than", "no table")


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_small_file_asks_for_little_memory(plain, name):
    if name == "zst":
        Path("b.csv.zst").write_bytes(zst(Path("binding.csv").read_bytes()))
    else:
        plain.to_csv(f"b.csv.{name}")
    tracemalloc.start()
    try:
        read_table(f"b.csv.{name}")
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_what_a_zip_file_may_hold(plain):
    for files, words in (([], "0 files"), (["a.csv", "b.csv"], "2 files (a.csv, b.csv)")):
        with zipfile.ZipFile("b.zip", "w") as archive:
            for file in files:
                archive.writestr(file, "gene,A\nx,1\n")
        refused(lambda: read_table("b.zip"), words, "exactly one")
    with zipfile.ZipFile("b.zip", "w") as archive:
        archive.writestr("__MACOSX/._b.csv", "x")
        archive.writestr("folder/", "")
        archive.write("binding.csv")
    same(read_table("b.zip"), plain)
    content = bytearray(Path("b.zip").read_bytes())
    for start in (m.start() for m in re.finditer(b"PK\x01\x02", bytes(content))):
        content[start + 8] |= 1  # said to be encrypted
    Path("b.zip").write_bytes(content)
    refused(lambda: read_table("b.zip"), "b.zip", "zip file")


@pytest.fixture
def openpyxl():
    return pytest.importorskip("openpyxl", reason="needs the extra excel")


def test_sheets_by_name(plain, openpyxl):
    with pd.ExcelWriter("book.xlsx") as book:
        plain.to_excel(book, sheet_name="ChIP")
        plain.iloc[:5].to_excel(book, sheet_name="few")
    refused(lambda: read_table("book.xlsx"), "2 sheets ('ChIP', 'few')", "--sheet")
    same(read_tables(config(predictors_file="book.xlsx", sheet="ChIP")).predictors, plain, OF_A_SHEET)
    refused(lambda: read_tables(config(predictors_file="book.xlsx", sheet="Chip")), "2 sheets")
    refused(lambda: read_tables(config(sheet="ChIP")), "--sheet ChIP", "no table is an Excel file")


def test_what_a_sheet_may_hold(tmp_path, openpyxl):
    book = openpyxl.Workbook()
    for row in ([None, "P", "A", None], [None], [7, 1, 0.5], ["x", None, 2], [None, None, None, None]):
        book.active.append(row)
    book.active["Z90"].number_format = "0.00"  # a cell that was touched, and is empty
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert list(table.index) == ["7", "x"] and table["A"].tolist() == [0.5, 2] and table["P"].isna().tolist() == [False, True]
    book.active["F3"] = 1
    book.save(tmp_path / "t.xlsx")
    refused(lambda: read_table(tmp_path / "t.xlsx"), "6 cells in row 1 but 3 in the header")
    openpyxl.Workbook().save(tmp_path / "t.xlsx")
    refused(lambda: read_table(tmp_path / "t.xlsx"), "empty sheet")
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 no more")
    refused(lambda: read_table(tmp_path / "t.xlsx"), "not a readable Excel file")
    (tmp_path / "t.xls").write_bytes(b"\xd0\xcf\x11\xe0abc")
    refused(lambda: read_table(tmp_path / "t.xls"), "old Excel file", "CSV")


def test_a_sheet_that_swells_is_refused(tmp_path, openpyxl):
    "16,000 columns in few bytes of each of many rows."
    openpyxl.Workbook().save(tmp_path / "t.xlsx")
    rows = "".join(f'<row r="{i}"><c r="XFD{i}"><v>1</v></c></row>' for i in range(1, MOST_CELLS // 16000 + 2))
    with zipfile.ZipFile(tmp_path / "t.xlsx") as old, zipfile.ZipFile(tmp_path / "big.xlsx", "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            content = old.read(part).decode()
            new.writestr(part, re.sub("<sheetData.*?(/>|</sheetData>)", f"<sheetData>{rows}</sheetData>", content))
    refused(lambda: read_table(tmp_path / "big.xlsx"), "too many cells")


def test_excel_without_its_package(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    code = "import sys; sys.modules['openpyxl'] = None; from tfbpmodeling.tables import read_table; read_table('t.xlsx')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert "needs openpyxl, which is not installed: pip install 'tfbpmodeling[excel]'" in done.stderr.splitlines()[-1]


def test_damaged_feather(tmp_path):
    (tmp_path / "t.feather").write_bytes(b"ARROW1 no more")
    refused(lambda: read_table(tmp_path / "t.feather"), "not a readable Feather file")


# ---------------------------------------------------------------- ids and names


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ids_in_another_column(plain, ending):
    symbols = plain.reset_index().assign(symbol=[f"S{i}" for i in range(60)])[["symbol", "P", "gene", "A", "B"]]
    symbols.to_csv("s.csv", index=False) if ending == "csv" else symbols.to_parquet("s.parquet", index=False)
    tables = read_tables(config(predictors_file=f"s.{ending}", id_column="gene"))
    same(tables.predictors, plain)
    assert tables.gene_names["007"] == "S0" and len(tables.gene_names) == 60
    Path("names.csv").write_text("id,name\n007,Bond\n")
    assert read_tables(config(predictors_file=f"s.{ending}", id_column="gene", gene_names="names.csv")).gene_names == {"007": "Bond"}


def test_names_that_stand_twice_are_no_names(plain):
    plain.assign(strand=["+", "-"] * 30).to_csv("s.csv")
    refused(lambda: load_modeling_data(config(predictors_file="s.csv", id_column="gene")), "'strand'", "holds text")


def test_an_option_without_use_is_refused(plain):
    for options, words in (
        (dict(id_column="orf"), "--id_column orf"),
        (dict(long=LONG), f"--long {LONG}"),
        (dict(response_file="r.csv", replicates="mean"), "--replicates mean"),
    ):
        read_table("response.csv").rename(columns={"P": "log2FC"}).to_csv("r.csv")
        refused(lambda options=options: read_tables(config(**options)), words, "check the option")


def test_versions(plain):
    plain.set_axis([f"{g}.{i % 12}" for i, g in enumerate(plain.index)], axis=0).to_csv("v.csv")
    given = config(predictors_file="v.csv", strip_versions=True)
    Path("black.txt").write_text("Y010W.3\n")
    Path("names.csv").write_text("id,name\n007.9,Bond\n")
    got = load_modeling_data(dataclasses.replace(given, blacklist_file="black.txt", gene_names="names.csv"))
    assert got.predictors.equals(load_modeling_data(config()).predictors.drop("Y010W")) and got.name("007") == "Bond"
    refused(lambda: load_modeling_data(config(predictors_file="v.csv")), "no gene in common", "--strip_versions")
    mixed = [g if i % 3 else f"{g}.1" for i, g in enumerate(plain.index)]
    plain.set_axis(mixed, axis=0).to_csv("v.csv")
    assert any("20 of the 60" in w and "--strip_versions" in w for w in load_modeling_data(config(predictors_file="v.csv")).warnings)


def test_a_perturbed_gene_whose_version_is_stripped_is_not_kept_silently(plain):
    ids = ["P.2", *plain.index[1:]]
    plain.set_axis(ids, axis=0).rename(columns={"P": "P.2"}).to_csv("v.csv")
    read_table("response.csv").set_axis(ids, axis=0).to_csv("r.csv")
    given = config(response_file="r.csv", predictors_file="v.csv", perturbed_tf="P.2")
    assert load_modeling_data(given).dropped["perturbed gene"] == ("P.2",)
    refused(lambda: load_modeling_data(dataclasses.replace(given, strip_versions=True)), "--strip_versions", "P.2")


# ---------------------------------------------------------------- marks of missing values, replicates


@pytest.mark.parametrize("mark", ["-", ".", "n.d.", "N.D.", "#DIV/0!", "?"])
def test_marks_of_missing_values(plain, mark):
    text = plain.astype(object)
    text.iloc[4, 1] = mark
    text.to_csv("m.csv")
    refused(lambda: load_modeling_data(config(predictors_file="m.csv")), "holds text", f"--na_values '{mark}'")
    words = ["--response_file", "response.csv", "--predictors_file", "m.csv", "--perturbed_tf", "P", "--na_values", f"{mark},x", "--missing", "drop"]
    data = load_modeling_data(options_from(make_parser("check").parse_words(words), Config))
    expected = load_modeling_data(config()).predictors.drop(plain.index[4])
    assert data.dropped["missing values"] == (plain.index[4],) and data.predictors.equals(expected)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_number_as_mark(plain, ending):
    plain.iloc[4, 1] = -9999
    plain.to_csv("m.csv") if ending == "csv" else plain.to_parquet("m.parquet")
    table = read_tables(config(predictors_file=f"m.{ending}", na_values="-9999")).predictors
    assert table.isna().sum().sum() == 1 and np.isnan(table.iloc[4, 1])


def test_text_that_is_no_mark_gets_no_such_hint(plain):
    text = plain.astype(object)
    text.iloc[4, 1] = "bound"
    text.to_csv("m.csv")
    message = refused(lambda: load_modeling_data(config(predictors_file="m.csv")), "'bound'")
    assert "--na_values" not in message and "--id_column" not in message


def test_names_of_replicates():
    names = ["P_rep1", "P.2", "P r3", "P-Rep_4", "Prep5", "P_6", "PR7", "P1", "P", "P_a", "P_rep", "PQ_1", "Q_1", "P_1_2"]
    assert replicate_columns(names, "P") == ["P_rep1", "P.2", "P r3", "P-Rep_4", "Prep5", "P_6", "PR7"]


@pytest.mark.parametrize("how", ["mean", "median"])
def test_replicates(plain, caplog, how):
    values = np.random.default_rng(1).normal(size=(60, 3))
    values[0, 0] = values[1] = np.nan
    table = pd.DataFrame(values, index=plain.index, columns=["P_rep1", "P_rep2", "P_rep3"])
    table.assign(P11=0.0).to_csv("r.csv")
    refused(lambda: load_modeling_data(config(response_file="r.csv")), "4 numeric columns", "--replicates mean")
    with caplog.at_level(logging.INFO):
        data = load_modeling_data(config(response_file="r.csv", replicates=how, missing="drop"))
    assert "3 columns" in caplog.text and "2 genes without a value" in caplog.text
    expected = pd.Series((np.nanmean if how == "mean" else np.nanmedian)(np.delete(values, 1, axis=0), axis=1), index=plain.index.delete(1))
    assert data.dropped["missing values"] == (plain.index[1],) and data.response_column == "P"
    np.testing.assert_allclose(data.response, expected.loc[data.genes], rtol=1e-15)
    table.assign(P=0.0).to_csv("r.csv")
    refused(lambda: load_modeling_data(config(response_file="r.csv", replicates=how)), "column 'P' and replicates of it")


# ---------------------------------------------------------------- the batch


def test_the_options_act_in_a_batch(plain):
    noise = np.random.default_rng(2).normal(size=(60, 4))
    screen = pd.DataFrame(noise, index=plain.index, columns=["P_rep1", "P_rep2", "A", "Z_1"])
    screen.to_csv("screen.csv")
    as_long(plain).to_csv("long.csv", index=False)
    given = BatchConfig(response_file="screen.csv", predictors_file="long.csv", output_dir="D", long=LONG, replicates="mean")
    sources = read_sources(given)
    assert list(sources.factors) == ["P", "A", "Z_1"] and not any(f.error for f in sources.factors.values())
    np.testing.assert_allclose(sources.factors["P"].response["P"], noise[:, :2].mean(axis=1), rtol=1e-15)
    same(sources.factors["P"].predictors, plain)
    refused(lambda: read_sources(dataclasses.replace(given, id_column="orf")), "--id_column orf")
    assert counting_options(given.to_dict()) == counting_options(BatchConfig(output_dir="D").to_dict()), "the tables themselves count"


def test_a_folder_of_tables_in_a_batch(plain):
    Path("in").mkdir()
    for name in ("P.csv.bz2", "A.feather"):
        table = pd.DataFrame({f"{name[0]}_1": plain["P"], f"{name[0]}_2": plain["A"]})
        table.to_csv(f"in/{name}") if "csv" in name else table.reset_index().to_feather(f"in/{name}")
    assert set(factor_files("response_file", "in")) == {"P", "A"}
    sources = read_sources(BatchConfig(response_file="in", predictors_file="binding.csv", output_dir="D", replicates="mean"))
    for factor in sources.factors.values():
        np.testing.assert_allclose(factor.response[factor.name], (plain["P"] + plain["A"]) / 2, rtol=1e-15)


# ---------------------------------------------------------------- tables in memory


class LikeAnnData:
    "What is used of an AnnData."

    def __init__(self, X, obs, var):
        self.X, self.obs_names, self.var_names = X, obs.index, var.index

    def to_df(self) -> pd.DataFrame:
        return pd.DataFrame(self.X, index=self.obs_names, columns=self.var_names)


@pytest.mark.parametrize("real", [False, True])
def test_an_anndata_with_genes_as_observations(plain, real):
    kind = pytest.importorskip("anndata", reason="anndata is not installed").AnnData if real else LikeAnnData
    response = read_table("response.csv")
    expected = make_modeling_data(response, plain, "P")
    tables = [kind(t.to_numpy(), obs=pd.DataFrame(index=t.index), var=pd.DataFrame(index=t.columns)) for t in (response, plain)]
    data = make_modeling_data(*tables, "P")
    assert data.response.equals(expected.response) and data.predictors.equals(expected.predictors)
    turned = kind(plain.to_numpy().T, obs=pd.DataFrame(index=plain.columns), var=pd.DataFrame(index=plain.index))
    refused(lambda: make_modeling_data(response, turned, "P"), "--perturbed_tf P is no column")


# ---------------------------------------------------------------- the cases


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases")
@pytest.mark.parametrize(
    "name, options",
    [
        ("semicolon_decimal_comma.csv", {}),
        ("long_binding.csv", dict(long="gene=gene,factor=tf,value=value")),
        ("second_id_column.csv", dict(id_column="gene")),
        ("ids_with_versions.csv", dict(strip_versions=True)),
        ("x.csv.bz2", {}),
        ("x.feather", {}),
    ],
)
def test_reported_cases(name, options):
    table = read_table(CASES / name, reader=TableReader(Config(**options)))
    assert set("PABCDE") <= set(table.columns) and len(table) >= 50 and table.index.is_unique
    np.testing.assert_array_equal(table.iloc[:1, :3].to_numpy(dtype=float), [[1.133976204153072, 0.8762491038964166, 1.897282597200543]])
