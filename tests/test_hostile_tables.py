"""Tables that are broken, unlucky or meant ill: each ends in a result that says so, or in one sentence."""

import gzip
import json
import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfbpmodeling.config import Config, InputError
from tfbpmodeling.modeling_data import ModelingData, load_modeling_data, looks_like_p_values, make_modeling_data, read_blacklist, read_table
from tfbpmodeling.report import run_to_directory
from tfbpmodeling.workflow import make_plan, run

N, TFS = 150, ("TF01", "TF02", "TF03", "TF04", "TF05")
GENES = [f"YAL{i:03d}C" for i in range(N)]


def tables(seed: int = 0, n: int = N) -> tuple[pd.DataFrame, pd.DataFrame]:
    "Response and predictors of the same genes; TF01:TF02 acts."
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.gamma(1, 1, (n, len(TFS))), index=[f"YAL{i:03d}C" for i in range(n)], columns=list(TFS))
    return (x["TF01"] * x["TF02"] + rng.normal(size=n)).to_frame("TF01"), x


def warned(response, predictors, **options) -> tuple[str, ...]:
    return make_modeling_data(response, predictors, "TF01", **options).warnings


def refused(call, *words: str) -> str:
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert not [word for word in words if word not in message], message
    return message


def one(notes: tuple[str, ...], *words: str) -> str:
    "The only warning that has the first word; it has the others too."
    found = [note for note in notes if words[0] in note]
    assert len(found) == 1, notes
    assert not [word for word in words if word not in found[0]], found[0]
    return found[0]


def test_the_tables_themselves_are_good():
    assert warned(*tables()) == ()


# ---------------------------------------------------------------- ids among the predictors


@pytest.mark.parametrize("transform", ["none", "log1p", "rank", "quantile"])
@pytest.mark.parametrize("kind", ["entrez", "row numbers", "a few twice"])
def test_ids_among_the_predictors_lead_the_warnings(kind, transform):
    y, x = tables(n=1200)
    rng = np.random.default_rng(1)
    ids = rng.choice(9_000_000, 1200, replace=False)
    x["entrez"] = dict(
        zip(("entrez", "row numbers", "a few twice"), (ids, np.arange(1, 1201), np.r_[ids[:20], ids[20:40], ids[:20], ids[60:]]))
    )[kind]
    assert all(word in warned(y, x, transform=transform)[0] for word in ("'entrez'", "looks like ids", "take it out"))


def test_counts_lengths_ranks_and_scores_are_no_ids():
    y, x = tables(n=1200)
    rng = np.random.default_rng(1)
    assert warned(y, x.assign(length=rng.integers(100, 3000, 1200), bound=rng.integers(0, 2, 1200))) == ()
    assert warned(y, x.rank(method="first")) == ()  # all columns are whole numbers, all different
    assert warned(y, (x * 1e6).round()) == ()


# ---------------------------------------------------------------- values far outside of the rest


@pytest.mark.parametrize("value", [1e20, -1e12, 1e9])
@pytest.mark.parametrize("table", ["response", "predictors"])
def test_one_absurd_cell_is_an_error_where_nothing_is_left_of_the_others(table, value):
    pair = dict(zip(("response", "predictors"), tables()))
    pair[table].iloc[7, 0] = value
    refused(
        lambda: make_modeling_data(*pair.values(), "TF01"), "'TF01'", table, "'YAL007C'", f"{value:g}", "times as far", "--missing drop"
    )


@pytest.mark.parametrize("value", [-9999, 1e5, 999])
@pytest.mark.parametrize("where", [("response", "TF01"), ("predictors", "TF01"), ("predictors", "TF04")])
def test_what_may_be_is_a_warning(where, value):
    pair = dict(zip(("response", "predictors"), tables()))
    pair[where[0]].loc["YAL007C", where[1]] = value
    one(warned(*pair.values()), "'YAL007C'", repr(where[1]), where[0], f"{value:g}", "times as far", "other 149 genes")


def test_absurd_cells_of_another_factor_and_of_several():
    y, x = tables()
    x.loc["YAL007C", "TF04"] = 1e20
    one(warned(y, x), "'TF04'", "1e+20")
    assert warned(y, x, transform="rank") == ()
    x.loc["YAL007C", ["TF02", "TF03"]] = -9999.0
    one(warned(y, x), "'TF02'", "2 more columns", "'TF03', 'TF04'")
    y.iloc[[3, 30, 99]] = -9999.0
    one(warned(y, x), "3 values far outside of the rest", "at least")


@pytest.mark.parametrize("seed", range(5))
def test_long_tails_are_no_absurd_cells(seed):
    y, x = tables(seed, 600)
    rng = np.random.default_rng(seed)
    heavy = pd.DataFrame(rng.lognormal(0, 2, x.shape), x.index, x.columns)
    sparse = heavy.where(rng.random(x.shape) < 0.07, 0.0)
    tiny = heavy.where(rng.random(x.shape) < 0.005, 0.0)  # three bound genes
    for binding in (heavy, sparse, tiny.assign(TF01=heavy["TF01"])):
        assert warned(y * rng.standard_t(2, (600, 1)), binding) == ()


@pytest.mark.parametrize("factor", [1e160, 1e308, -1e80])
@pytest.mark.parametrize("table", [0, 1])
def test_columns_too_large_to_compute_with(table, factor):
    pair = list(tables())
    pair[table] = pair[table] * factor if factor < 1e300 else pair[table].clip(upper=1.7) * factor
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(lambda: make_plan(make_modeling_data(*pair, "TF01"), Config(perturbed_tf="TF01")), "too large to compute")
        for how in ("rank", "quantile"):
            if table == 1 and how == "rank":
                make_modeling_data(*pair, "TF01", transform=how)
            else:
                refused(lambda how=how: make_modeling_data(*pair, "TF01", transform=how), "too large to compute")


@pytest.mark.parametrize("response, binding", [(1e-17, 1), (1e-300, 1), (1, 1e-9), (1e-6, 1e-6)])
def test_tables_too_small_to_compute_with(response, binding):
    y, x = tables()
    config = Config(perturbed_tf="TF01")
    refused(lambda: make_plan(make_modeling_data(y * response, x * binding, "TF01"), config), "too small to compute", "--scale_by_std")
    assert (
        make_plan(make_modeling_data(y * 1e-8, x * 1e-2, "TF01"), config).warnings
        == make_plan(make_modeling_data(y, x, "TF01"), config).warnings
    )


def test_terms_too_large_to_compute_with():
    y, x = tables()
    refused(
        lambda: make_plan(make_modeling_data(y, x * 1e50, "TF01"), Config(perturbed_tf="TF01")),
        "too large to compute",
        "'TF01:TF0",
        "log1p",
    )


# ---------------------------------------------------------------- the blacklist


@pytest.mark.parametrize(
    "lines, words",
    [
        (["gene,reason", "YAL001C,repeat", "YAL002C,repeat"], ["2 of the blacklist's 3 lines", "more than a gene id", "'YAL001C,repeat'"]),
        (['"YAL001C"\t"repeat"'], ["1 of the blacklist's 1 line", "more than a gene id"]),
        (["yal001c", "yal002c"], ["2 of the blacklist's 2 lines", "upper and lower case"]),
        (["YAL001C.2", "YAL003C"], ["1 of the blacklist's 2 lines", "version"]),
        (["ADR1", "SWI5"], ["removes nothing", "2 lines such as 'ADR1'", "'YAL000C'"]),
    ],
)
def test_a_blacklist_that_removes_nothing(tmp_path, lines, words):
    y, x = tables()
    y.to_csv(tmp_path / "r.csv")
    x.to_csv(tmp_path / "b.csv")
    (tmp_path / "bad.txt").write_text("\n".join(lines))
    config = Config(
        response_file=str(tmp_path / "r.csv"),
        predictors_file=str(tmp_path / "b.csv"),
        perturbed_tf="TF01",
        blacklist_file=str(tmp_path / "bad.txt"),
    )
    one(load_modeling_data(config).warnings, "blacklist", "one gene id per line", *words)


@pytest.mark.parametrize("lines", [[], ["", " "], ["YAL001C"], ["YAL001C", "UNKNOWN1", "UNKNOWN2"], ["only in response", "ADR1"]])
def test_a_blacklist_that_is_good(lines):
    y, x = tables()
    assert warned(y.rename(index={"YAL099C": "only in response"}), x, blacklist=lines) == ()


# ---------------------------------------------------------------- genes lost by their names


def versions(ids):
    return [f"{gene}.{i % 7}" for i, gene in enumerate(ids)]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda ids: [g.lower() for g in ids], ["upper and lower case", "'yal", "'YAL"]),
        (versions, ["the version after the point"]),
        (lambda ids: [f"{g[:3]}-{g[3:]}" for g in ids], ["dots, dashes"]),
        (lambda ids: [f"SYM{i}" for i in range(len(ids))], ["such as 'SYM0'", "another kind of gene ids"]),
    ],
)
def test_many_genes_lost_are_said_with_the_cause(change, words):
    y, x = tables()
    few, many = GENES[:12], GENES[:60]
    assert warned(y.rename(index=dict(zip(few, change(few)))), x) == ()
    one(warned(y.rename(index=dict(zip(many, change(many)))), x), "60 of the 150 genes of response table are lost", *words)
    one(
        warned(y, x.rename(index=dict(zip(many, change(many))))), "60 of the 150 genes of response table are lost", "here", "there"
    ) if "SYM0" not in words[0] else None
    refused(lambda: warned(y.rename(index=dict(zip(GENES, change(GENES)))), x), "no gene in common")


def test_genes_lost_because_one_table_has_symbols():
    y, x = tables()
    names = {gene: f"SYM{i}" for i, gene in enumerate(GENES)}
    note = one(warned(y.rename(index={g: names[g] for g in GENES[:75]}), x, gene_names=names), "75 of the 150 genes")
    assert "are names whose ids the other table has ('SYM0' here, 'YAL000C' there)" in note


def test_a_small_table_beside_a_whole_genome_loses_nothing():
    y, x = tables()
    assert warned(y.iloc[:110], x) == () and warned(y, x.iloc[:110]) == ()
    one(warned(y.iloc[:120], x.iloc[20:]), "20 of the 120 genes of response table are lost")


@pytest.mark.parametrize("date", ["1-Mar", "2023-03-01", "Sep-02", "01/03/2023", "2-sep", "1.3.23", "2.31E+13", "2023-03-01 00:00:00"])
def test_dates_among_the_ids_are_said(date):
    y, x = tables()
    y, x = y.rename(index={GENES[0]: date}), x.rename(index={GENES[0]: "MARCH1"})
    one(warned(y, x), "1 gene id of response table looks like", "spreadsheet", repr(date))
    one(
        warned(y.rename(index={GENES[1]: "2-Sep"}), x.rename(index={GENES[1]: "SEPT2"})),
        "2 gene ids of response table look like",
        "'2-Sep'",
    )


@pytest.mark.parametrize("gene", ["MARCH1", "SEPT2", "DEC1", "apr-1", "YKL112W-A", "HLA-A", "1-100", "ENSG0000.12", "12", "MT-ND1"])
def test_genes_are_no_dates(gene):
    y, x = tables()
    assert warned(y.rename(index={GENES[0]: gene}), x) == ()


def test_dates_of_the_shared_case(shared):
    table = read_table(shared / "cases" / "tables" / "excel_dates_among_ids.csv")
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.gamma(1, 1, (len(table) + 200, 2)), index=[*(f"{g}x" for g in table.index), *GENES, *(f"H{i}" for i in range(50))])
    y = pd.concat([table.iloc[:, 0], pd.Series(rng.normal(size=150), GENES)]).to_frame("TF01")
    assert any("spreadsheet" in note for note in warned(y, x.set_axis(["TF01", "TF02"], axis=1)))


# ---------------------------------------------------------------- responses that are none


@pytest.mark.parametrize("value", [0, 1.5, True])
def test_a_constant_response_is_an_error(value):
    y, x = tables()
    refused(lambda: warned(y.assign(TF01=value), x), "'TF01' of response table", "the same value", "all 150 genes", "nothing to model")


def test_yes_and_no_as_a_response_is_said(tmp_path):
    y, x = tables()
    for answer in (y > 0, (y > 0).astype(int), (y > 0) * 2.5):
        one(warned(answer, x), "'TF01' of response table", "only two values", "True and False")
    (y > 0).to_csv(tmp_path / "r.csv")
    one(warned(read_table(tmp_path / "r.csv"), x), "only two values")


def test_one_file_as_both_tables(tmp_path):
    _, x = tables()
    x.to_csv(tmp_path / "b.csv")
    both = dict(response_file=str(tmp_path / "b.csv"), predictors_file=str(tmp_path / "b.csv"), perturbed_tf="TF01")
    refused(lambda: load_modeling_data(Config(**both)), "b.csv", "the same as column 'TF01'", "both tables")
    refused(lambda: load_modeling_data(Config(**both, transform_predictors="rank")), "both tables")


def test_ids_as_the_response_are_said():
    y, x = tables()
    ids = pd.DataFrame({"entrez": np.random.default_rng(0).choice(9_000_000, N, replace=False)}, index=GENES)
    one(warned(ids, x), "'entrez' of response table", "looks like ids")


# ---------------------------------------------------------------- p-values


@pytest.mark.parametrize("n", [300, 1500, 6000])
@pytest.mark.parametrize("seed", range(4))
def test_p_values_of_any_usual_median_are_seen(n, seed):
    rng = np.random.default_rng(seed)
    even = rng.random(n)
    medians = []
    for p in (
        even**2,
        even**3,
        even**4,
        rng.beta(0.3, 1, n),
        np.where(rng.random(n) < 0.4, 10 ** -rng.uniform(0.5, 6, n), even),
        np.where(rng.random(n) < 0.1, 10 ** -rng.uniform(2, 9, n), even),
    ):
        medians.append(np.median(p))
        assert looks_like_p_values(p), medians[-1]
    assert min(medians) < 0.1 and 0.3 < max(medians) < 0.55


def test_a_median_of_013_is_said():
    y, x = tables(n=1500)
    x["TF01"] = np.random.default_rng(0).random(1500) ** 3
    assert 0.1 < x["TF01"].median() < 0.16
    one(warned(y, x), "looks like p-values", "median 0.1", "neglog10p")


@pytest.mark.parametrize("n", [300, 1500, 6000])
@pytest.mark.parametrize("seed", range(4))
def test_scores_scaled_to_one_are_no_p_values(n, seed):
    rng = np.random.default_rng(seed)
    for scores in (
        rng.gamma(1, 1, n),
        rng.gamma(0.5, 1, n),
        rng.lognormal(0, 1, n),
        np.where(rng.random(n) < 0.2, rng.gamma(2, 1, n), 0),
        rng.normal(3, 1, n).clip(0),
    ):
        assert not looks_like_p_values(scores / scores.max())
        assert not looks_like_p_values((scores - scores.min()) / (scores.max() - scores.min()))


# ---------------------------------------------------------------- wrong reasons


def test_a_table_with_the_perturbed_factor_alone(tmp_path):
    y, x = tables()
    y.to_csv(tmp_path / "r.csv")
    x[["TF01"]].to_csv(tmp_path / "b.csv")
    config = dict(response_file=str(tmp_path / "r.csv"), predictors_file=str(tmp_path / "b.csv"), perturbed_tf="TF01")
    message = refused(lambda: make_plan(load_modeling_data(Config(**config)), Config(**config)), "b.csv", "no column but 'TF01'", "swapped")
    assert "--exclude_interactor_variables" not in message
    alone = Config(**config, ptf_main_effect=True)
    assert make_plan(load_modeling_data(alone), alone).design.terms == ("TF01",)
    excluded = Config(**config, exclude_interactor_variables="exclude_all")
    refused(lambda: make_plan(load_modeling_data(excluded), excluded), "--exclude_interactor_variables takes every interaction out")


def test_swapped_files_are_called_swapped():
    y, x = tables()
    swapped = make_modeling_data(x, y, "TF01")
    message = refused(lambda: make_plan(swapped, Config(perturbed_tf="TF01")), "swapped")
    assert "--exclude_interactor_variables" not in message and any("are the two files swapped?" in note for note in swapped.warnings)
    refused(lambda: make_modeling_data(x, y.rename(columns={"TF01": "log2FC"}), "TF01"), "no column", "are the two files swapped?")
    screen = pd.DataFrame(np.random.default_rng(0).normal(size=x.shape), x.index, x.columns)
    one(warned(x, screen), "are the two files swapped?", "negative")
    assert "swapped" not in refused(lambda: make_modeling_data(screen, x.drop(columns="TF01"), "TF01"), "no column")


# ---------------------------------------------------------------- small things


@pytest.mark.parametrize(
    "text, words",
    [
        ("<!DOCTYPE html>\n<html><head><title>404</title>", ["a web page", "raw file"]),
        ('\n\n <html lang="en">\n<body>', ["a web page"]),
        ('<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', ["a web page"]),
        ("404: Not Found", ["the answer of a web server", "address"]),
        ("Not Found\n", ["the answer of a web server"]),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", ["Git LFS"]),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv.gz"])
def test_what_a_server_sends_is_no_table(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    for read in (lambda: read_table(tmp_path / name, "response table"), lambda: read_blacklist(str(tmp_path / name))):
        assert "(in R" not in refused(read, name, *words)


@pytest.mark.parametrize("gap", ["", "NA", "na", "Na", " ", "   ", " NA ", "NaN", "nan", "NULL", "null", "None", "#N/A", "n/a", "N/A"])
def test_every_way_to_write_a_missing_value(tmp_path, gap):
    rng = np.random.default_rng(0)
    x = rng.normal(size=30) * 10.0 ** rng.integers(-9, 9, 30)
    (tmp_path / "t.csv").write_text(
        "gene,TF01,TF02\n" + "".join(f"G{i},{v!r},{gap if i == 7 else repr(float(v))}\n" for i, v in enumerate(x.tolist()))
    )
    data = make_modeling_data(read_table(tmp_path / "t.csv")[["TF01"]] * 2, read_table(tmp_path / "t.csv"), "TF01", missing="drop")
    assert data.dropped["missing values"] == ("G7",)
    kept = [i for i in range(30) if i != 7]
    assert np.array_equal(data.predictors.loc[[f"G{i}" for i in kept], "TF02"], x[kept])  # to the last bit
    refused(
        lambda: make_modeling_data(read_table(tmp_path / "t.csv")[["TF01"]] * 2, read_table(tmp_path / "t.csv"), "TF01"),
        "has no value in row 8",
    )


@pytest.mark.parametrize("text", ["-", ".", "n.d.", "nothing", "0,5"])
def test_other_text_stays_text(text):
    y, x = tables()
    refused(lambda: warned(y, x.astype(object).replace({x.iat[3, 3]: text})), "holds text", repr(text))


@pytest.mark.parametrize("name", ["TF\n99", "TF\r99", "TF\x1b[31m99", "TF\u202e99", "TF\u202899"])
def test_a_name_cannot_split_a_sentence(tmp_path, name, caplog):
    y, x = tables()
    refused(lambda: make_modeling_data(y, x, name), "TF", "99", "is no column")
    refused(lambda: read_table(tmp_path / f"{name}.csv"), "does not exist")
    x[name] = x["TF02"]
    x.loc[GENES[7], name] = -9999.0
    data = make_modeling_data(y, x, "TF01")
    config = Config(perturbed_tf="TF01", n_bootstraps=100, random_state=1, n_cpus=1)
    with caplog.at_level(logging.INFO, logger="tfbpmodeling"):
        result = run(config, data, progress=False)
    for text in (*result.warnings, *(record.getMessage() for record in caplog.records)):
        assert text.splitlines() == [text] and text.isprintable()


def test_a_name_without_end_does_not_bury_the_sentence():
    y, x = tables()
    assert len(refused(lambda: make_modeling_data(y, x, "x" * 5000), "is no column of predictors table", "xxx…xxx")) < 1000


def test_a_path_without_end_is_one_sentence(tmp_path, capsys):
    from tfbpmodeling.cli import main

    name = "x" * 5000
    for words in (
        ["report", str(tmp_path / name)],
        ["notebook", "--output", str(tmp_path / f"{name}.ipynb")],
        ["compare", str(tmp_path / name), "b"],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.startswith("tfbpmodeling: error: ") and said.count("\n") == 1 and "too long" in said and len(said) < 1000
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- where a warning stands


def test_warnings_lead_the_log_the_record_and_the_page(tmp_path, no_figures):
    y, x = tables()
    x["entrez"] = np.random.default_rng(1).choice(9_000_000, N, replace=False)
    y = y.rename(index={g: g.lower() for g in GENES[:30]})
    y.to_csv(tmp_path / "r.csv")
    x.to_csv(tmp_path / "b.csv")
    (tmp_path / "bad.csv").write_text("gene,reason\nYAL101C,repeat\n")
    files = dict(response_file=str(tmp_path / "r.csv"), predictors_file=str(tmp_path / "b.csv"), blacklist_file=str(tmp_path / "bad.csv"))
    folder, result = run_to_directory(
        Config(**files, perturbed_tf="TF01", n_bootstraps=100, random_state=1, n_cpus=1, output_dir=str(tmp_path / "out"))
    )
    expected = ["looks like ids", "30 of the 150 genes of r.csv are lost", "more than a gene id stands there"]
    assert [word in note for word, note in zip(expected, result.warnings)] == [True] * 3
    assert json.loads((folder / "run.json").read_text())["warnings"] == list(result.warnings)
    (log,) = folder.glob("*.log")
    lines = log.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "genes in use" in line)
    assert all(sum(word in line for line in lines) == 1 and any(word in line for line in lines[:first]) for word in expected)
    page = re.sub("<details>.*?</details>", "", (folder / "report.html").read_text(), flags=re.DOTALL)
    assert all(word in page for word in expected)


# ---------------------------------------------------------------- nothing that was good is warned about


@pytest.mark.parametrize("experiment", ["response_tfko", "response_overexpression"])
def test_no_real_factor_gets_a_new_warning(shared, experiment):
    folder = shared / "data" / "yeast"
    response, binding = read_table(folder / f"{experiment}.csv.gz"), read_table(folder / "binding.csv.gz")
    factors = [name for name in response.columns if name in binding.columns]
    common = binding[binding.index.isin(response.index)]
    varies = [name for name in factors if common[name].nunique() > 1]
    assert len(factors) >= 66 and make_modeling_data(response, binding, varies[0]).warnings == ()
    for i, name in enumerate(varies):  # the other columns are the same for all factors
        columns = common if i % 12 == 0 else common[list(dict.fromkeys([name, *varies[:2]]))]
        assert make_modeling_data(response[[name]], columns, name).warnings == (), name


def test_no_golden_run_gets_a_new_warning(shared):
    folder = shared / "golden"
    files = dict(
        response_file=str(folder / "synth_resp_TF01.csv"), predictors_file=str(folder / "synth_predictors.csv"), perturbed_tf="TF01"
    )
    for options in ({}, dict(blacklist_file=str(folder / "blacklist_synth.txt"))):
        assert load_modeling_data(Config(**files, **options)).warnings == ()


def test_the_cell_cycle_as_a_response_gets_no_new_warning(shared):
    folder = shared / "data" / "yeast"
    response, binding = read_table(folder / "response_cell_cycle_cdc15.csv.gz"), read_table(folder / "binding.csv.gz")
    for column in response.columns[::4]:
        assert make_modeling_data(response[[column]], binding, "YMR037C", missing="drop").warnings == (), column


# ---------------------------------------------------------------- mutations

CELLS = [
    1e20,
    -9999,
    1e160,
    1e308,
    -1e75,
    np.inf,
    np.nan,
    "na",
    " ",
    "text",
    "1,5",
    "0x10",
    "1e400",
    "True",
    "",
    "<b>",
    "=1+1",
    "a\nb",
    5e-324,
    "1_0",
]
NAMES = ["a\nb", "x" * 5000, "TF01:TF02", "row_max", " ", "=cmd()", "\x1b[31m", "I(TF01 ** 2)", "a,b", '"', "TF01 ", "Ω", "TF02"]
FACTORS = [0, -1, 1e-320, 1e-200, 1e-80, 1e-20, 1e20, 1e60, 1e155, 1e300]


def change_cells(rng, table):
    table = table.astype(object)
    for _ in range(rng.integers(1, 4)):
        table.iat[rng.integers(len(table)), rng.integers(table.shape[1])] = CELLS[rng.integers(len(CELLS))]
    return table


def change_size(rng, table):
    with np.errstate(over="ignore", invalid="ignore"):
        columns = table.columns if rng.random() < 0.5 else [table.columns[rng.integers(table.shape[1])]]
        return table.assign(**{c: table[c] * FACTORS[rng.integers(len(FACTORS))] for c in columns})


def change_column(rng, table):
    n, name = len(table), table.columns[rng.integers(table.shape[1])]
    new = [
        np.arange(n),
        rng.random(n) ** 3,
        rng.random(n) < 0.5,
        np.full(n, 3.0),
        np.where(np.arange(n) < 2, 1.0, 0),
        rng.choice(10**7, n, False),
        -table[name],
    ]
    return table.assign(**{name: new[rng.integers(len(new))]})


def change_names(rng, table):
    return table.rename(columns={table.columns[rng.integers(table.shape[1])]: NAMES[rng.integers(len(NAMES))]})


def change_ids(rng, table):
    ids = list(table.index)
    some = rng.permutation(len(ids))[: rng.integers(1, len(ids) + 1)]
    how = [
        str.lower,
        lambda g: f"{g}.1",
        lambda g: "1-Mar",
        lambda g: f"{g}\n",
        lambda g: g * 900,
        lambda g: f" {g}",
        lambda g: f"S{g}",
        lambda g: "",
    ][rng.integers(8)]
    for i in some:
        ids[i] = how(ids[i])
    return table.set_axis(ids, axis=0)


def change_shape(rng, table):
    kind = rng.integers(5)
    if kind == 0:
        return table.iloc[: rng.integers(0, 12)]
    if kind == 1:
        return table.iloc[:, : rng.integers(0, 3)]
    if kind == 2:
        return pd.concat([table, table.iloc[:3]])
    return pd.concat([table, table.iloc[:, :1]], axis=1) if kind == 3 else table.sample(frac=0.3, random_state=int(rng.integers(99)))


CHANGES = [change_cells, change_size, change_column, change_names, change_ids, change_shape]


def as_bytes(rng, table: pd.DataFrame) -> bytes:
    "The table as a file, now and then a damaged one."
    text = table.rename_axis("gene").to_csv(sep=";" if rng.random() < 0.03 else ",").encode()
    if rng.random() < 0.05:
        text = text[: rng.integers(len(text))]
    if rng.random() < 0.05:
        at = rng.integers(len(text) + 1)
        text = text[:at] + rng.bytes(rng.integers(1, 4)) + text[at:]
    return (b"\xef\xbb\xbf" if rng.random() < 0.1 else b"") + text


def options_of(rng) -> dict:
    some = dict(
        transform_predictors=["none", "log1p", "rank", "quantile", "neglog10p"][rng.integers(5)] if rng.random() < 0.3 else "none",
        missing="drop" if rng.random() < 0.5 else "error",
        scale_by_std=bool(rng.random() < 0.3),
        row_max=bool(rng.random() < 0.3),
        cubic_pTF=bool(rng.random() < 0.2),
        stage4_lasso=bool(rng.random() < 0.2),
        iterative_dropout=bool(rng.random() < 0.2),
    )
    return some | dict(perturbed_tf="TF01", n_bootstraps=3, all_data_ci_level=60, topn_ci_level=60, random_state=1, n_cpus=1, top_n=60)


def ends_well(folder: Path, seed: int) -> str:
    "Run mutated tables: 'result' or 'refused'; anything else is an exception."
    rng = np.random.default_rng(seed)
    pair = list(tables(seed % 3, 120))
    for _ in range(rng.integers(1, 3)):
        which = rng.integers(2)
        try:
            pair[which] = CHANGES[rng.integers(len(CHANGES))](rng, pair[which])
        except (TypeError, ValueError, IndexError):  # a change that an earlier one leaves no room for
            pass
    if rng.random() < 0.05:
        pair.reverse()
    for name, table in zip(("r.csv", "b.csv"), pair):
        (folder / name).write_bytes(as_bytes(rng, table))
    given = dict(response_file=str(folder / "r.csv"), predictors_file=str(folder / "b.csv"))
    if rng.random() < 0.3:
        lines = ["YAL001C,x", "yal002c", "YAL003C", "\x00", "Ω", "404: Not Found"]
        (folder / "l.txt").write_text("\n".join(lines[i] for i in rng.permutation(len(lines))[: rng.integers(4)]))
        given["blacklist_file"] = str(folder / "l.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            config = Config(**given, **options_of(rng))
            data = load_modeling_data(config)
            assert isinstance(data, ModelingData)
            notes = run(config, data, progress=False).warnings
        except InputError as error:
            notes, ending = (str(error),), "refused"
        else:
            ending = "result"
    assert all(note.splitlines() == [note] and len(note) < 3000 for note in notes)
    return ending


def test_mutated_tables_end_in_a_result_or_in_one_sentence(tmp_path):
    endings = [ends_well(tmp_path, seed) for seed in range(200)]
    assert endings.count("result") >= 40 and endings.count("refused") >= 80
