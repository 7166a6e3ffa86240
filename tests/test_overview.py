"""The overview page of a batch: what it says, what it must never do, and how it works in a real browser."""

import html
import itertools
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from browser import assert_accessible, looked_at
from examples import example_batch, no_warnings, write_reports

from tfbpmodeling import overview
from tfbpmodeling.figures import clustered
from tfbpmodeling.overview import chance_pairs, effect_heatmap, effect_matrix, overview_figures, ranked, reciprocal_pairs, write_overview

NASTY = "<img src=x onerror=alert(1)>&\"'#%$_{{7*7}}"


def written(folder: Path, **options) -> tuple[str, tuple[dict, pd.DataFrame, pd.DataFrame]]:
    "The page of an example batch, and the batch."
    folder.mkdir(exist_ok=True)
    made = example_batch(**options)
    write_reports(folder, made[0])
    assert write_overview(folder, *made) == folder / "index.html"
    return (folder / "index.html").read_text(encoding="utf-8"), made


def visible(page: str) -> str:
    "The words of a page."
    return html.unescape(re.sub(r"<[^>]*>", " ", page[page.index("<main>") : page.index("<script>")]))


def counts(page: str) -> dict[str, str]:
    return {what: n for n, what in re.findall(r"<li[^>]*><b>([\d,]+)</b>([^<]+)</li>", page)}


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rich")
    return folder, *written(folder, n=30, seed=3, density=0.1)


# --- what the page says


def test_the_first_screen(rich):
    _, page, (batch, _, interactors) = rich
    head, states = visible(page[: page.index("<nav")] + "<script>"), [f["state"] for f in batch["factors"].values()]
    assert counts(page) == {
        "something found": str(states.count("done")), "nothing found": str(states.count("nothing_found")), "not applicable": "1", "failed": "1",
        "still waiting": "0", "survivors": str(len(interactors)), "selected": str(interactors["selected"].sum()),
        "beyond main effects": str(interactors["beyond_main_effects"].sum())}  # fmt: skip
    assert f"{len(interactors)} interactors survived in {states.count('done')} of 28 factors" in head
    assert "consistency, not confirmation" in head and "expected by chance" in head and "both ways" in head and "--retry_failed" in head
    assert "seed 42" in " ".join(head.split()) and "response.csv" in head and "stopped" not in head


def rows_of(page: str, section: str) -> list[dict[str, str]]:
    "The table of a section."
    table = page[page.index(f'<h2 id="{section}"') :].split("</table>")[0]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in table.split("<tr>")[1:]]
    heads, *rows = [[html.unescape(re.sub(r"<[^>]*>", "", c)) for c in row] for row in cells]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def test_every_factor_and_every_survivor_has_its_row(rich):
    _, page, (_, summary, interactors) = rich
    factors, survivors = rows_of(page, "factors"), rows_of(page, "survivors")
    assert len(factors) == len(summary) and len(survivors) == len(interactors)
    found = [f["outcome"] == "something found" for f in factors]
    assert found == sorted(found, reverse=True), "factors with findings come first"
    assert sum(int(f["survivors"]) for f in factors if f["survivors"] != "–") == len(interactors)
    terms = set(interactors["term"])
    for r in interactors.itertuples():
        (row,) = [
            s
            for s in survivors
            if s["perturbed factor"].endswith(f" {r.perturbed_tf}") and s["interactor"] == f"{r.interactor_name} {r.interactor}"
        ]
        assert row["found both ways"] == ("yes" if f"{r.interactor}:{r.perturbed_tf}" in terms else "no")
        assert row["beyond main effects"] == ("yes" if r.beyond_main_effects else "no") and row["standardised effect"].startswith("−") == (
            r.all_data_median < 0
        )


def test_reasons_inputs_and_parameters_are_there(rich):
    _, page, (batch, _, _) = rich
    words = visible(page)
    for factor in batch["factors"].values():
        assert not factor["reason"] or factor["reason"] in words
    assert all(i["sha256"] in words and i["path"] in words for i in batch["inputs"]) and "9,123" in words and "41 min 07 s" in words
    assert ".failed/report.html" in page and "report so far" in words


def test_nothing_found_is_a_result(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "heatmap.png").write_text("of an earlier batch")
    page, _ = written(tmp_path, n=12, density=0)
    assert (
        "nothing survived" in visible(page) and "Nothing found is a result." in visible(page) and "<img" not in page and "nan" not in page
    )
    assert counts(page)["nothing found"] == "10" and not list((tmp_path / "plots").iterdir())


@pytest.mark.parametrize(
    "status, says", [("running", "still running: 10 of 20"), ("interrupted", "stopped before its end: 10 factors did not run")]
)
def test_an_unfinished_batch_says_so(tmp_path, status, says):
    page, _ = written(tmp_path, n=20, seed=3, status=status)
    assert says in visible(page) and "So far" in visible(page) and counts(page)["still waiting"] == "10"


def test_a_batch_that_has_just_begun(tmp_path):
    batch, summary, interactors = example_batch(3, density=0, status="running")
    for factor in batch["factors"].values():
        factor.update(state="waiting", reason=None, report=None)
    summary = summary.assign(**{c: None for c in summary.columns[2:]})
    page = write_overview(tmp_path, batch, summary, interactors).read_text()
    assert "No factor has run to its end yet." in page and "nan" not in visible(page).lower()


def test_the_same_page_from_the_files(rich, tmp_path):
    "summary.csv and interactors.csv lose types: empty columns, switches as text."
    folder, page, (batch, summary, interactors) = rich
    for name, table in (("summary", summary), ("interactors", interactors)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    write_reports(tmp_path / "again", batch)
    again = write_overview(
        tmp_path / "again", json.loads(json.dumps(batch)), *(pd.read_csv(tmp_path / f"{n}.csv") for n in ("summary", "interactors"))
    )
    assert again.read_text(encoding="utf-8") == page
    nullable = write_overview(tmp_path / "again", batch, summary.convert_dtypes(), interactors.convert_dtypes())
    assert nullable.read_text(encoding="utf-8") == page
    assert (tmp_path / "again" / "plots" / "heatmap.svg").read_bytes() == (folder / "plots" / "heatmap.svg").read_bytes()


# --- what it never does


def test_it_needs_nothing_and_is_whole_without_script(rich):
    _, page, _ = rich
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert (
        not re.findall(r"""(?:src|srcset|action)=["'](?!data:)""", markup)
        and "@import" not in markup
        and "url(" not in markup
        and "http" not in markup
    )
    assert not any(word in page for word in ("fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval("))
    assert "<button" not in markup and '<input type="search"' not in markup and "onclick" not in markup
    assert all('alt="' in image for image in re.findall(r"<img [^>]*>", page)) and page.count("<figcaption>") == page.count("<figure>") == 2


def test_names_and_reasons_stay_text(tmp_path):
    batch, summary, interactors = example_batch(14, seed=1, density=0.3, prefix=NASTY)
    failed = next(f for f in batch["factors"].values() if f["state"] == "failed")
    failed["reason"] = "</script><script>alert(2)</script>"
    batch["parameters"] |= {"output_suffix": "<b>bold</b>", "<i>": "{% raise %}"}
    batch["inputs"][0]["path"] = "<u>.csv"
    write_reports(tmp_path, batch)
    page = write_overview(tmp_path, batch, summary, interactors).read_text(encoding="utf-8")
    assert not re.search(r"<img src=x|<b>bold|<i>|<u>", page) and page.count("<script>") == 1 and "{{7*7}}" in page
    links = [html.unescape(link) for link in re.findall(r'href="([^"#][^"]*)"', page) if not link.startswith("data:")]
    assert len(set(links)) > 10 and all((tmp_path / unquote(link)).is_file() and re.fullmatch(r"[\w./%~-]+", link) for link in links)


def test_links_lead_only_to_what_is_there(tmp_path):
    page = write_overview(tmp_path, *example_batch(6, seed=1, density=0.4)).read_text()
    assert not re.findall(r'<a href="(?!#)', page) and "leads to" not in page


def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    made = example_batch(6, seed=1, density=0.4)
    path = write_overview(tmp_path, *made)
    before = path.read_bytes()
    monkeypatch.setattr(overview, "overview_page", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_overview(tmp_path, *made)
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "plots"]


def test_300_factors_stay_small(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "_save_plots", lambda *args: None)  # the page has its own copies
    page, (_, _, interactors) = written(tmp_path, n=300, seed=2, density=0.01)
    assert interactors["interactor"].nunique() > 200 and len(interactors) > 1000 and (tmp_path / "index.html").stat().st_size < 5e6


# --- the figures and their numbers


def test_inputs_stay_as_they_are(rich):
    _, _, (_, _, interactors) = rich
    before = interactors.copy()
    ranked(interactors)
    pd.testing.assert_frame_equal(interactors, before)


def test_pairs_by_search_and_their_expectation():
    table = ranked(example_batch(25, seed=5, density=0.15)[2])
    found = set(zip(table["perturbed_tf"], table["interactor"]))
    tfs = sorted({t for pair in found for t in pair})
    by_search = {frozenset(p) for p in itertools.combinations(tfs, 2) if p in found and p[::-1] in found}
    pairs = reciprocal_pairs(table)
    assert len(by_search) > 3 and by_search == {frozenset(table.loc[i, ["perturbed_tf", "interactor"]]) for i in pairs["first"]}
    assert table["both_ways"].sum() == 2 * len(pairs) and pairs["n_beyond"].is_monotonic_decreasing
    assert reciprocal_pairs(table.iloc[:0]).empty and not chance_pairs(table.iloc[:0]).any() and not chance_pairs(table.iloc[:1]).any()


def test_chance_by_all_tables_with_the_same_totals():
    survivors = [(0, 1), (1, 0), (2, 3), (3, 2), (0, 2), (4, 0), (1, 4)]
    free, total = list(itertools.permutations(range(5), 2)), lambda pairs, side: sorted(p[side] for p in pairs)
    same = [set(p) for p in itertools.combinations(free, 7) if total(p, 0) == total(survivors, 0) and total(p, 1) == total(survivors, 1)]
    exact = np.mean([sum((b, a) in p for a, b in p) / 2 for p in same])
    drawn = chance_pairs(pd.DataFrame(survivors, columns=["perturbed_tf", "interactor"]), n_tables=2000)
    assert len(same) > 10 and abs(drawn.mean() - exact) < 0.15


def test_similar_rows_stand_together():
    values = np.array([[1, 0, 0, 0], [0, 0, 2, 1], [3, 0.1, 0, 0], [0, 0, 1, 0.4], [0, 0, 0, 0]])
    order = list(clustered(values))
    assert sorted(order) == list(range(5)) and abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1


@pytest.mark.parametrize("n, seed, density", [(2, 12, 0.9), (12, 1, 0.2), (30, 1, 0.5), (60, 1, 0.04)])
@no_warnings
def test_figures_of_every_size(n, seed, density, tmp_path):
    _, summary, interactors = example_batch(n, seed, density, prefix=NASTY)
    table = ranked(interactors)
    assert effect_matrix(table).to_numpy().astype(bool).sum() == len(table) > 0
    for spec in overview_figures(table, summary):
        spec.save(tmp_path)
        assert spec.caption and spec.alt and 7 <= spec.figure.get_figwidth() < 20


@no_warnings
def test_a_heatmap_of_one_survivor():
    "One row and one column: nothing to put in order."
    fig = effect_heatmap(ranked(example_batch(12, seed=1, density=0.2)[2]).iloc[:1])
    assert fig.axes[0].get_xlim() == (-0.5, 0.5) and fig.axes[0].get_ylim() == (0.5, -0.5)


def test_an_interval_without_width_is_no_effect(tmp_path):
    batch, summary, interactors = example_batch(12, seed=1, density=0.3)
    interactors.loc[0, ["all_data_low", "all_data_high"]] = interactors.loc[0, "all_data_median"]
    interactors.loc[1, ["all_data_low", "all_data_median", "all_data_high", "delta_r2"]] = np.nan
    interactors.loc[2, ["low_beside", "high_beside"]] = [-np.inf, np.inf]
    page = write_overview(tmp_path, batch, summary, interactors).read_text()
    assert ranked(interactors)["effect"].isna().sum() == 2 and "nan" not in visible(page).lower() and "−∞ to ∞" in page
    assert not re.search('data-v="-?(nan|inf)"', page)


# --- in a browser

PROBE = """<script>addEventListener('load', () => {
  const wrong = [], say = (ok, what) => { if (!ok) wrong.push(what) };
  const tables = [...document.querySelectorAll('table.sortable')];
  for (const table of tables) {
    const name = table.textContent.slice(0, 40), rows = () => [...table.tBodies[0].rows];
    const n = rows().length, before = rows().map(r => r.textContent).sort().join();
    [...table.tHead.rows[0].cells].forEach((th, k) => {
      const button = th.querySelector('button'), numeric = th.classList.contains('n') || th.classList.contains('i');
      button.focus(); say(document.activeElement === button, name + k + ' has no focus');
      for (const order of numeric ? ['descending', 'ascending'] : ['ascending', 'descending']) {
        button.click();
        say(th.getAttribute('aria-sort') === order, name + k + ' is not ' + order);
        say(table.querySelectorAll('[aria-sort]').length === 1, name + k + ' two sorted columns');
        let keys = rows().map(r => numeric ? parseFloat(r.cells[k].textContent.replaceAll('−', '-').replaceAll(',', '')) : r.cells[k].textContent.trim());
        const full = keys.findLastIndex(v => v !== '' && !Number.isNaN(v)) + 1;
        say(keys.slice(0, full).every(v => v !== '' && !Number.isNaN(v)), name + k + ' missing values are not last');
        keys = keys.slice(0, full); if (order === 'descending') keys.reverse();
        const after = (a, b) => numeric ? a <= b : a.localeCompare(b, undefined, {numeric: true, sensitivity: 'base'}) <= 0;
        say(keys.every((v, i) => !i || after(keys[i - 1], v)), name + k + ' is not in ' + order + ' order: ' + keys);
      }
    });
    say(rows().map(r => r.textContent).sort().join() === before, name + ' lost rows');
    say(table.classList.contains('searched') === n > 24, name + ' has ' + n + ' rows: a field to search?');
    if (n <= 24) continue;
    const label = table.closest('.table').previousElementSibling, field = label.querySelector('input[type=search]'), shown = () => rows().filter(r => r.offsetParent).length;
    const type = (text) => { field.value = text; field.dispatchEvent(new Event('input')) };
    const word = rows()[0].cells[0].textContent.trim().split(/\\s+/)[0];
    say(shown() === n, name + ' does not show all rows');
    type(word.toUpperCase());
    say(shown() === rows().filter(r => r.textContent.toLowerCase().includes(word.toLowerCase())).length && shown() > 0, name + ' filter shows ' + shown());
    say(label.querySelector('output').textContent === `${shown()} of ${n} rows`, name + ' says ' + label.querySelector('output').textContent);
    type('no such name'); say(shown() === 0, name + ' filter shows rows of no such name');
    type(''); say(shown() === n, name + ' filter does not let go');
  }
  const images = [...document.images];
  document.title = JSON.stringify({wrong, tables: tables.length, images: images.length, broken: images.filter(i => !i.naturalWidth).length,
    links: [...document.links].map(a => a.getAttribute('href')), wide: document.documentElement.scrollWidth - innerWidth,
    fetched: performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length});
})</script>"""


@pytest.mark.browser
@pytest.mark.parametrize("which", ["rich", "nothing", "awkward names"])
def test_the_page_in_a_browser_without_network(tmp_path, which):
    options = {
        "rich": dict(n=40, seed=3),
        "nothing": dict(n=12, density=0),
        "awkward names": dict(n=8, seed=1, density=0.4, prefix=NASTY),
    }[which]
    page, _ = written(tmp_path / "batch", **options)
    path = tmp_path / "batch" / "index.html"
    seen = looked_at(path, PROBE)
    assert seen["wrong"] == [] and seen["broken"] == seen["fetched"] == 0 and seen["wide"] <= 0, seen
    assert seen["images"] == (0 if which == "nothing" else 2) and seen["tables"] >= (1 if which == "nothing" else 2)
    for link in seen["links"]:
        assert f'id="{link[1:]}"' in page if link.startswith("#") else (tmp_path / "batch" / unquote(link)).is_file(), link
    assert sum(not link.startswith("#") for link in seen["links"]) > 10
    for look in {"awkward names": (dict(dark=True),), "nothing": (dict(width=500),)}.get(which, ()):
        assert_accessible(path, **look)
