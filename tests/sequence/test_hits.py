"""Hits and motif names with memelite, against exact formulas, memelite itself and real motifs; annotations against tangermeme."""

import logging

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import plant, random_sequences
from tfbpmodeling.modeling_data import read_table
from tfbpmodeling.sequence.annotations import (
    count_annotations,
    hit_annotations,
    pairwise_annotations,
    pairwise_annotations_spacing,
    resolve_overlaps,
    spacing_profile,
)
from tfbpmodeling.sequence.motifs import COMPLEMENT, EPSILON, best_p_value, find_hits, match_motifs, motif_scores, one_hot, read_motifs

memelite = pytest.importorskip("memelite", reason="make test-sequence installs it")
EVEN = np.full(4, 0.25)


def word_motif(word, sure=0.97):
    return (sure - (1 - sure) / 3) * one_hot([word])[0] + (1 - sure) / 3


@pytest.fixture(scope="module")
def fungi(shared):
    return read_motifs(shared / "data" / "motifs" / "jaspar2024_fungi.meme")


# ---- hits --------------------------------------------------------------------------------------


def test_first_middle_and_last_window():
    filler = "CAGGCTTAAGC" * 4
    texts = {"first": "TGACTCA" + filler, "middle": filler + "TGACTCA" + filler, "last": filler + "TGACTCA", "none": filler}
    hits = find_hits(texts, {"GCN4": word_motif("TGACTCA")}, background="uniform")
    assert set(zip(hits["sequence_name"], hits["start"], hits["end"])) == {("first", 0, 7), ("middle", 44, 51), ("last", 44, 51)}
    assert (hits["p-value"] == 4.0**-7).all()
    counts = motif_scores(texts, {"GCN4": word_motif("TGACTCA")}, "count", background="uniform")
    assert counts["GCN4"].to_dict() == {"first": 1, "middle": 1, "last": 1, "none": 0}  # the one without a hit keeps its row


@pytest.mark.parametrize("background", ["uniform", "empirical", (0.4, 0.1, 0.1, 0.4)])
def test_hits_are_those_of_a_loop_over_windows(background):
    rng = np.random.default_rng(1)
    motifs = {f"m{k}": rng.dirichlet([0.3] * 4, size=w).T for k, w in enumerate((5, 8, 12))}
    texts = {f"G{k}": t[: rng.integers(60, 200)] for k, t in enumerate(random_sequences(40, 200, rng, gc=0.3))}
    threshold = 2e-3
    found = find_hits(texts, motifs, threshold, background)
    letters = "".join(texts.values())
    counts = np.array([letters.count(x) for x in "ACGT"]) + 1.0
    empirical = (counts + counts[::-1]) / (2 * counts.sum())
    b = EVEN if background == "uniform" else empirical if background == "empirical" else np.array(background)
    wanted = []
    for k, motif in enumerate(motifs.values()):
        steps = np.rint(np.log2((motif + EPSILON) / b[:, None]) * 10).astype(int)
        chance = {0: 1.0}
        for column in steps.T:  # the distribution as a dictionary
            wider = {}
            for s, p in chance.items():
                for a in range(4):
                    wider[s + column[a]] = wider.get(s + column[a], 0) + p * b[a]
            chance = wider
        reached = {s: sum(q for t, q in chance.items() if t >= s) for s in chance}
        for gene, text in texts.items():
            for strand, read in (("+", text), ("-", text.translate(COMPLEMENT)[::-1])):
                for i in range(len(read) - motif.shape[1] + 1):
                    s = sum(steps["ACGT".index(x), j] for j, x in enumerate(read[i : i + motif.shape[1]]))
                    if (p := reached[s]) < threshold:
                        start = i if strand == "+" else len(text) - i - motif.shape[1]
                        wanted.append((gene, start, k, strand, round(p, 9)))
    got = [(h.sequence_name, h.start, h.motif_idx, h.strand, round(h[8], 9)) for h in found.itertuples()]
    assert sorted(got) == sorted(wanted) and len(wanted) > 20


def test_short_motifs_are_named_and_best_matches_have_no_p_value_of_zero(fungi, caplog):
    rng = np.random.default_rng(0)
    short = [name for name, m in fungi.items() if best_p_value(m, EVEN) >= 1e-4]
    assert 56 <= len(short) <= 60 and any("MSN2" in n for n in short) and any("MIG1" in n for n in short)
    rgt1 = next(n for n in fungi if n.endswith("RGT1"))
    word = "".join("ACGT"[i] for i in fungi[rgt1].argmax(axis=0))
    assert len(word) == 8
    texts = [plant(t, word, 30) for t in random_sequences(4, 100, rng)]
    with caplog.at_level(logging.WARNING, "tfbpmodeling"):
        hits = find_hits(texts, fungi, background="uniform")
    assert f"{len(short)} of 178 motifs are too short" in caplog.text
    assert hits[hits["motif_name"] == rgt1]["p-value"].min() == 4.0**-8
    smallest = {n: best_p_value(m, EVEN) for n, m in fungi.items()}
    assert all(h[8] >= smallest[h.motif_name] * 0.999 > 0 for h in hits.itertuples())
    theirs = memelite.fimo({rgt1: fungi[rgt1]}, one_hot(texts))
    assert theirs[0]["p-value"].min() == 0.0  # the trap is still there


def test_hits_agree_with_memelite_but_for_the_grid(fungi):
    motifs = dict(list(fungi.items())[:40])
    texts = random_sequences(100, 500, np.random.default_rng(2))
    ours = find_hits(texts, motifs, background="uniform")
    theirs = set()
    for k, table in enumerate(memelite.fimo(motifs, one_hot(texts))):
        theirs |= {(k, *row) for row in zip(table["sequence_name"], table["start"], table["end"], table["strand"])}
    mine = set(zip(ours["motif_idx"], ours["sequence_name"], ours["start"], ours["end"], ours["strand"]))
    assert len(mine & theirs) > 0.9 * len(mine | theirs)


def test_hits_from_a_file_and_hits_of_nothing(tmp_path):
    rows = "\n".join(" ".join(map(str, r)) for r in word_motif("TGACTCA").T)
    (tmp_path / "file.meme").write_text(f"MEME version 4\nMOTIF M GCN4\nletter-probability matrix:\n{rows}\n")
    texts = {"G1": "CAGGCTTAAGCTGACTCAGG"}
    by_path = find_hits(texts, str(tmp_path / "file.meme"), background="uniform")
    assert len(by_path) == 1 and by_path.equals(find_hits(texts, read_motifs(tmp_path / "file.meme"), background="uniform"))
    for given, words in (((texts, "none.meme"), "none.meme does not exist"), ((texts, {}), "no motifs"), (([], {"m": word_motif("ACGTACG")}), "no sequences"), ((texts, 3), "of type int")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            find_hits(*given)
    with pytest.raises(InputError, match="no motifs"):
        match_motifs(["ACGT"], {})


def test_no_hits():
    none = find_hits(["AAAAAAAAAAAA"], {"m": word_motif("CGCGCGCG")})
    assert len(none) == 0 and hit_annotations(none).shape == (0, 4) and len(resolve_overlaps(none)) == 0


def test_planted_sites_by_all_four_scores(fungi):
    name = next(n for n in fungi if n.endswith("GCN4"))
    word, rng = "".join("ACGT"[i] for i in fungi[name].argmax(axis=0)), np.random.default_rng(1)
    texts = random_sequences(500, 500, rng, gc=0.38)
    texts = [plant(t, word, int(rng.integers(480))) if i < 250 else t for i, t in enumerate(texts)]
    auc = {
        s: roc_auc_score(np.arange(500) < 250, motif_scores(texts, {name: fungi[name]}, s)[name])
        for s in ("logsumexp", "max", "sum_neglog10p", "count")
    }
    assert auc["logsumexp"] > 0.98 and auc["max"] > 0.98 and auc["sum_neglog10p"] > 0.9 and auc["count"] > 0.9, auc


def test_two_planted_motifs_and_their_distance():
    rng, motifs = np.random.default_rng(3), {"A": word_motif("TGACTCATAG"), "B": word_motif("CCGGTACGTC")}
    texts = random_sequences(500, 200, rng)
    for i in range(250):
        start = int(rng.integers(150))
        texts[i] = plant(plant(texts[i], "TGACTCATAG", start), "CCGGTACGTC", start + 10 + 17)
    hits = resolve_overlaps(find_hits(texts, motifs, background="uniform"))
    profile = spacing_profile(pairwise_annotations_spacing(hit_annotations(hits), symmetric=False, shape=2), 0, 1)
    assert profile[17] == 250 and np.delete(profile, 17).max() <= 3


def test_the_command_with_hits(tmp_path):
    (tmp_path / "p.fa").write_text(">G1\n" + "CAGGCTTAAGC" * 3 + "TGACTCA\n>G2\n" + "CAGGCTTAAGC" * 4 + "\n")
    rows = "\n".join(" ".join(map(str, r)) for r in word_motif("TGACTCA").T)
    (tmp_path / "m.meme").write_text(f"MEME version 4\nMOTIF M GCN4\nletter-probability matrix: alength= 4 w= 7\n{rows}\n")
    command = ["motif_scores", "--sequences", str(tmp_path / "p.fa"), "--motifs", str(tmp_path / "m.meme"), "--background", "uniform"]
    for score, value in (("count", 1), ("sum_neglog10p", 7 * np.log10(4))):
        assert main([*command, "--score", score, "--output", str(tmp_path / f"{score}.csv")]) == 0
        assert np.allclose(read_table(tmp_path / f"{score}.csv")["GCN4"], [value, 0], atol=1e-6)


# ---- names of motifs ---------------------------------------------------------------------------


def test_the_word_of_the_shared_sequences_is_an_ets_site(shared):
    known = read_motifs(shared / "data" / "motifs" / "jaspar2024_vertebrates.meme")
    found = match_motifs({"word": "AAAGAGGAAGTT", "none": "ATATATATATAT"}, known)
    word = found[found["query"] == "word"]
    spi1 = word[word["motif_name"] == "MA0080.7 Spi1"].iloc[0]
    assert len(word) == 3 and spi1["motif_idx"] >= 0 and spi1["E-value"] < 0.05
    assert spi1["p-value"] == pytest.approx(1.05e-5, rel=0.1) and spi1["E-value"] == pytest.approx(0.009, rel=0.1)
    assert (found[found["query"] == "none"]["motif_idx"] == -1).all()


def test_a_motif_finds_itself():
    rng = np.random.default_rng(0)
    known = {f"m{k}": rng.dirichlet([0.2] * 4, size=int(rng.integers(7, 14))).T for k in range(60)}
    found = match_motifs(known, known, n_nearest=1)
    assert (found["motif_name"] == found["query"]).mean() > 0.95 and (found["E-value"] == found["p-value"] * 60).all()
    assert match_motifs({}, known).empty and (match_motifs(known, known, alpha=0.0)["motif_idx"] == -1).all()


# ---- annotations -------------------------------------------------------------------------------


def random_annotations(rng):
    "Rows in no order; the annotations of an example do not overlap."
    rows = []
    for e in range(rng.integers(1, 8)):
        end = 0
        for _ in range(rng.integers(0, 9)):
            start = end + rng.integers(0, 25)
            end = start + rng.integers(1, 12)
            rows.append((e, rng.integers(0, 6), start, end))
    return rng.permutation(np.array(rows or [(0, 0, 3, 9)]))


def test_equal_to_tangermeme():
    torch = pytest.importorskip("torch", reason="make test-sequence installs it")
    theirs = pytest.importorskip("tangermeme.annotate", reason="make test-sequence installs it")
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = random_annotations(rng)
        pairs, all_four = torch.from_numpy(rows[:, :2]), torch.from_numpy(rows)
        wanted = theirs.count_annotations(pairs, dtype=torch.int64, shape=(9, 6))
        assert (count_annotations(rows[:, :2], shape=(9, 6)).toarray() == wanted.numpy()).all()
        for unique in (True, False):
            for symmetric in (True, False):
                wanted = theirs.pairwise_annotations(pairs, unique=unique, symmetric=symmetric, shape=6)
                order = "index" if unique else "row"
                assert (pairwise_annotations(rows[:, :2], unique, symmetric, order, 6).toarray() == wanted.numpy()).all()
        for symmetric in (True, False):
            wanted = theirs.pairwise_annotations_spacing(all_four, 40, dtype=torch.int64, symmetric=symmetric, shape=6)
            assert (pairwise_annotations_spacing(rows, 40, symmetric, shape=6).toarray() == wanted.numpy()).all()
