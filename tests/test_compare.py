"""Two runs of one factor on one page: what is in both, what differs, which pairs are refused, and how the page works in a browser."""

import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import assert_accessible, looked_at
from examples import small_tables, write_tables

from tfbpmodeling.artifacts import read_run, write_run
from tfbpmodeling.cli import main
from tfbpmodeling.compare import compare_page, compare_runs, differing_inputs, differing_options, forest, read_pair, same_units, split_terms
from tfbpmodeling.config import Config
from tfbpmodeling.modeling_data import load_modeling_data
from tfbpmodeling.workflow import run

NASTY = "<img src=x onerror=alert(1)>&\"'</script>"
NAMES = ("P", NASTY, "A", "B", "C", "D")


def visible(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page[page.index("<main>") : page.index("<script>")])).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    "a: all terms; b: without A, at other levels; noise: other data with nothing to find; other: another factor."
    place, out = tmp_path_factory.mktemp("runs"), {}
    response, predictors = small_tables(n=400, names=NAMES)

    def make(name, ptf="P", tables=(response, predictors), **options):
        folder = place / name / ptf
        folder.mkdir(parents=True)
        given = dict(zip(("response_file", "predictors_file"), write_tables(place / name, *tables)[1::2]))
        config = Config(**given, perturbed_tf=ptf, random_state=1, n_bootstraps=60, n_cpus=1, **options)
        write_run(folder, run(config, load_modeling_data(config), progress=False))
        out[name] = folder

    make("a", top_n=100)
    make("b", top_n=60, exclude_interactor_variables="A", topn_ci_level=95)
    noise = response.assign(P=np.random.RandomState(3).normal(size=len(response)))
    make("noise", top_n=100, all_data_ci_level=99.9, tables=(noise, predictors))
    make("other", "B", top_n=100, tables=(response.rename(columns={"P": "B"}), predictors))
    return out


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "compare.html"
    assert main(["compare", str(runs["a"]), str(runs["b"]), "-o", str(path)]) == 0
    return path


def test_the_first_screen_answers(runs, page):
    a, b = (read_run(runs[k]) for k in "ab")
    both = set(a.survivors) & set(b.survivors)
    assert "P:A" in a.survivors and f"P:{NASTY}" in both and "P:A" not in b.survivors
    text = page.read_text()
    head = visible(text[: text.index("<nav")] + "<script>")
    counted = {words: int(n) for n, words in re.findall(r"<li[^>]*><b>(\d+)</b>([^<]+)</li>", text)}
    assert counted == {"survivors in both": len(both), "only in A": len(a.survivors) - len(both), "only in B": len(b.survivors) - len(both)}
    assert f"{len(both)} survivor" in head and "only in A: A" in head and "top_n (100 and 60)" in head and "no such term" in head
    assert "Both runs look at the same data" in visible(text)


def test_every_interval_is_that_of_its_run(runs, page):
    text = page.read_text()
    table = text[text.index("<h3>Stage 2: all genes") :].split("</table>")[0]
    rows = [
        re.findall(r'<td class="name">(.*?)</td><td>(.*?)</td><td class="(\w+)"(?: data-v="(.*?)")?>', r) for r in table.split("<tr>")[2:]
    ]
    stored = json.loads((runs["a"] / "all_data_result_object" / "result_obj_ci.json").read_text())["98.0"]
    kept = [json.loads((runs[k] / "all_data_significant_98-0.json").read_text()) for k in "ab"]
    assert {html.unescape(r[0][0]) for r in rows} == set(kept[0]) | set(kept[1])
    for ((name, words, _, low),) in rows:
        term = html.unescape(name)
        assert words == ("both" if term in kept[0] and term in kept[1] else "only A" if term in kept[0] else "only B")
        assert float(low) == pytest.approx(stored[term][0], rel=1e-4)


def test_counts_stand_side_by_side(runs, page):
    text = page.read_text()
    rows = dict((m[0], m[1:]) for m in re.findall(r'<td class="name">([^<]+)</td><td>([^<]*)</td><td>([^<]*)</td></tr>', text))
    for key, words in (
        ("terms_kept_all_data", "terms kept on all genes (stage 2)"),
        ("genes_topn", "genes of the top N"),
        ("survivors", "survivors"),
    ):
        assert rows[words] == tuple(str(json.loads((runs[k] / "run.json").read_text())["counts"][key]) for k in "ab")


def test_differences_are_named_and_nothing_else(runs):
    pair = read_pair(runs["a"], runs["b"])
    options = differing_options(pair).set_index("option")
    assert set(options.index) == {"top_n", "topn_ci_level", "exclude_interactor_variables"} and tuple(options.loc["top_n"]) == ("100", "60")
    assert list(differing_inputs(pair)["input"]) == ["terms of the model"] and same_units(pair), (
        "the same files under other paths are the same"
    )
    other = read_pair(runs["a"], runs["noise"])
    assert list(differing_inputs(other)["input"]) == ["response_file"] and not same_units(other)
    assert "compare signs, not sizes" in visible(compare_page(other)) and "confirmed as far as the data are independent" in compare_page(
        other
    )


def test_nothing_found_in_either_or_one(runs, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(runs["noise"], twin)
    pair = compare_runs(runs["noise"], twin, tmp_path / "none.html")
    text = visible((tmp_path / "none.html").read_text())
    assert "Nothing survived in either run." in text and text.count("Neither run keeps a term.") == 2 and "what differs nothing" in text
    assert len(forest(pair).axes[0].get_yticks()) == 5, "the nearest terms stand in for kept ones"
    compare_runs(runs["noise"], runs["a"], tmp_path / "one.html")
    text = visible((tmp_path / "one.html").read_text())
    assert "No survivor is in both runs" in text and "only in B" in text and "nan" not in text.split()


def test_groups_by_set_arithmetic():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (tuple(rng.permutation(list("abcdefgh"))[: rng.integers(0, 8)]) for _ in range(2))
        both, only_a, only_b = split_terms(a, b)
        assert set(both) == set(a) & set(b) and set(only_a) == set(a) - set(b) and set(only_b) == set(b) - set(a)
        assert len(both) + len(only_a) == len(a) and len(both) + len(only_b) == len(b)


@pytest.mark.parametrize(
    "one, two, says",
    [
        ("a", "other", "only runs of the same perturbed factor"),
        ("a", "a", "the same run directory"),
        ("a", "nowhere", "not a run directory"),
    ],
)
def test_what_does_not_compare_is_one_sentence(runs, tmp_path, capsys, one, two, says):
    argv = ["compare", str(runs[one]), str(runs.get(two, tmp_path / "nowhere")), "-o", str(tmp_path / "x.html")]
    capsys.readouterr()
    assert main(argv) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1 and says in said[0] and not list(tmp_path.iterdir())


def test_an_existing_page_is_refused_and_overwrite_replaces_it(runs, tmp_path, capsys):
    path = tmp_path / "x.html"
    path.write_text("years")
    argv = ["compare", str(runs["a"]), str(runs["b"]), "--output", str(path)]
    assert main(argv) == 2 and "--overwrite" in capsys.readouterr().err and path.read_text() == "years"
    assert main([*argv, "--overwrite"]) == 0 and path.read_text().startswith("<!DOCTYPE html>") and list(tmp_path.iterdir()) == [path]
    assert main(["compare", str(runs["a"]), str(runs["b"]), "-o", str(tmp_path)]) == 2 and "folder" in capsys.readouterr().err


def test_it_needs_nothing_and_names_stay_text(page):
    text = page.read_text()
    assert text.count("<script>") == 1 and text.count("</script>") == 1 and "<img src=x" not in text and "&lt;img src=x" in text
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", markup) and "@import" not in text and "url(" not in text


@pytest.mark.browser
def test_the_page_in_a_browser(page):
    script = """<script>addEventListener('load', () => { document.title = JSON.stringify({
        broken: [...document.images].filter(i => !i.naturalWidth).length, wide: document.documentElement.scrollWidth - innerWidth,
        lost: [...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length,
        fetched: performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length}) })</script>"""
    seen = looked_at(page, script, 500)
    assert seen["wide"] <= 0 and seen["broken"] == seen["lost"] == seen["fetched"] == 0, seen
    assert_accessible(page, dark=True)
