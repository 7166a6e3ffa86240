"""Motif files, sequences and scores, against loops; and the road from promoters to a run that finds the planted interaction."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tfbpmodeling.artifacts import read_run
from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import draw_site, plant, random_sequences
from tfbpmodeling.sequence.motifs import (
    COMPLEMENT,
    EPSILON,
    best_p_value,
    letter_background,
    letter_codes,
    log_ratios,
    motif_scores,
    name_factors,
    one_hot,
    read_fasta,
    read_motifs,
    read_sequences,
    score_table,
)

EVEN = np.full(4, 0.25)


def random_motif(rng, width):
    return rng.dirichlet([0.3] * 4, size=width).T


def meme_text(motifs):
    parts = ["MEME version 4\n", "ALPHABET= ACGT\n"]
    for name, motif in motifs.items():
        rows = "\n".join(" ".join(f"{v:.6f}" for v in column) for column in motif.T)
        parts.append(f"MOTIF {name}\nletter-probability matrix: alength= 4 w= {motif.shape[1]} nsites= 20 E= 0\n{rows}\n")
    return "\n".join(parts)


# ---- motif files -------------------------------------------------------------------------------


def test_the_three_formats_hold_the_same_motifs(tmp_path):
    rng = np.random.default_rng(3)
    counts = {f"M{k:04}.1 TF{k}": rng.integers(0, 50, (4, w)) + 1 for k, w in enumerate((4, 9, 21))}
    wanted = {name: c / c.sum(axis=0) for name, c in counts.items()}
    meme = meme_text(wanted)
    jaspar = "\n".join(f">{n}\n" + "\n".join(f"{x}  [ {' '.join(map(str, r))} ]" for x, r in zip("ACGT", c)) for n, c in counts.items())
    bare = "\n".join(f">{n}\n" + "\n".join(" ".join(map(str, r)) for r in c) for n, c in counts.items())
    transfac = "VV  a version\nXX\n//\n"
    for name, c in counts.items():
        rows = "\n".join(f"{i:02}\t" + "\t".join(map(str, col)) + "\tN" for i, col in enumerate(c.T, 1))
        transfac += f"AC {name.split()[0]}\nXX\nID {name.split()[1]}\nXX\nPO\tA\tC\tG\tT\n{rows}\nXX\nCC a comment\nXX\n//\n"
    for ending, text in (("meme", meme), ("jaspar", jaspar), ("pfm", bare), ("transfac", transfac)):
        path = tmp_path / f"motifs.{ending}"
        path.write_text(text)
        got = read_motifs(path)
        assert list(got) == list(wanted) and all(np.allclose(got[n], wanted[n], atol=1e-6) for n in wanted)
    (tmp_path / "motifs.gz").write_bytes(gzip.compress(meme.encode()))
    assert list(read_motifs(tmp_path / "motifs.gz")) == list(wanted)


def test_transfac_columns_in_another_order(tmp_path):
    (tmp_path / "m").write_text("ID x\nP0 T G C A\n01 1 2 3 4\n//\n")
    assert np.allclose(read_motifs(tmp_path / "m")["x"].ravel(), [0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    "text, words",
    [
        ("hello", "neither MEME"),
        ("", "neither MEME"),
        ("MEME version 4\n", "holds no motif"),
        ("MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\nMOTIF a\n", "DNA"),
        ("MEME version 4\nMOTIF a\n", "no 'letter-probability matrix"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 2\n.25 .25 .25 .25\n", "'a' .line 2. is not a matrix"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 1\n.25 .25 x .25\n", "is not a matrix"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 1\n.25 .25 -1 .25\n", "negative number"),
        (">a\nA [1 2]\nC [1 2]\nG [1 2]\nT [1]\n", "is not a matrix"),
        (">a\n1\n1\n1\n1\n>a\n1\n1\n1\n1\n", "two motifs named 'a'"),
        ("ID x\nP0 A C G T\n01 0 0 0 0\n//\n", "empty position"),
    ],
)
def test_motif_files_that_are_refused(tmp_path, text, words):
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_motifs(tmp_path / "m.txt")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "b.fa").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.gz").write_bytes(b"no gzip")
    for path, words in (
        (tmp_path / "none.fa", "does not exist"),
        (tmp_path / "b.fa", "not a text file"),
        (tmp_path / "c.gz", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            read_fasta(path)


# ---- sequences ---------------------------------------------------------------------------------


def test_fasta(tmp_path):
    (tmp_path / "a.fa").write_text(">G1 some words\nacgt\nNNrY\n\n>G2\nTTTT\n")
    assert read_fasta(tmp_path / "a.fa") == {"G1": "ACGTNNRY", "G2": "TTTT"}
    for text, words in ((">G1\nAC\n>G1\nAC\n", "second sequence 'G1'"), ("ACGT\n", "no FASTA"), (">\nA\n", "without a name"), (">G\n", "is empty"), (">G\nMEFP\n", "DNA is needed"), ("", "no sequence")):  # fmt: skip
        (tmp_path / "b.fa").write_text(text)
        with pytest.raises(InputError, match=words):
            read_fasta(tmp_path / "b.fa")


def test_promoters_from_a_genome(tmp_path):
    rng = np.random.default_rng(0)
    chromosomes = dict(zip(("chrI", "chrII"), random_sequences(2, 500, rng)))
    (tmp_path / "g.fa").write_text(
        "".join(f">{n}\n" + "\n".join(s[i : i + 60] for i in range(0, 500, 60)) + "\n" for n, s in chromosomes.items())
    )
    rows, wanted = ["# a comment", "track name=x"], {}
    for k in range(20):
        name, start, strand = ("chrI", "chrII")[k % 2], int(rng.integers(0, 400)), "+-"[k // 10]
        piece = chromosomes[name][start : start + 80]
        wanted[f"G{k}"] = piece if strand == "+" else "".join({"A": "T", "C": "G", "G": "C", "T": "A"}[x] for x in reversed(piece))
        rows.append(f"{name}\t{start}\t{start + 80}\tG{k}\t0\t{strand}")
    (tmp_path / "p.bed").write_text("\n".join(rows) + "\n")
    assert read_sequences(tmp_path / "p.bed", tmp_path / "g.fa") == wanted
    for row, words in (("chrI\t9\t5\tx", "start below end"), ("chr9\t1\t5\tx", "no chromosome 'chr9'"), ("chrI\t1\t900\tx", "ends at 900"), ("chrI\t1\t5\tx\nchrI\t2\t6\tx", "second place"), ("", "holds no place")):  # fmt: skip
        (tmp_path / "bad.bed").write_text(row + "\n")
        with pytest.raises(InputError, match=words):
            read_sequences(tmp_path / "bad.bed", tmp_path / "g.fa")


def test_letters_in_any_form():
    texts = ["ACGTN", "GG"]
    codes = letter_codes(texts)
    assert codes.codes.tolist() == [0, 1, 2, 3, 4, 2, 2] and codes.lengths.tolist() == [5, 2]
    assert letter_codes(dict(a="ACGTN", b="GG")).codes.tolist() == codes.codes.tolist()
    hot = one_hot(texts)
    assert hot.shape == (2, 4, 5) and hot[1].sum() == 2 and hot[0, :, 4].sum() == 0
    assert letter_codes(hot).codes.tolist() == [0, 1, 2, 3, 4, 2, 2, 4, 4, 4]
    with pytest.raises(InputError, match="n, 4, length"):
        letter_codes(np.zeros((2, 5, 4)))


# ---- scores ------------------------------------------------------------------------------------


def windows_by_hand(text, motif, background):
    "Log ratios of all windows on both strands."
    found = []
    for strand in (text, text.translate(COMPLEMENT)[::-1]):
        for i in range(len(strand) - motif.shape[1] + 1):
            value = 0.0
            for j in range(motif.shape[1]):
                if strand[i + j] in "ACGT":
                    k = "ACGT".index(strand[i + j])
                    value += np.log2((motif[k, j] + EPSILON) / background[k])
            found.append(value)
    return np.array(found)


@pytest.mark.parametrize("width", [1, 4, 5, 6, 10, 11, 23])
def test_scores_are_those_of_a_loop(width):
    rng = np.random.default_rng(width)
    motif = random_motif(rng, width)
    texts = {f"G{k}": "".join(rng.choice(list("ACGTN"), rng.integers(width, 60), p=[0.3, 0.2, 0.2, 0.25, 0.05])) for k in range(12)}
    background = letter_background(letter_codes(texts))
    counts = np.array([sum(t.count(x) for t in texts.values()) for x in "ACGT"]) + 1.0
    assert np.allclose(background, (counts + counts[::-1]) / (2 * counts.sum()))
    scores = {s: motif_scores(texts, {"m": motif}, s)["m"].to_numpy() for s in ("logsumexp", "max")}
    hand = [windows_by_hand(t, motif, background) for t in texts.values()]
    assert np.allclose(scores["max"], [h.max() for h in hand])
    assert np.allclose(scores["logsumexp"], [np.log2(np.exp2(h).sum()) for h in hand])
    one = motif_scores(texts, {"m": motif}, "max", reverse_complement=False, background="0.3,0.2,0.2,0.3")["m"]
    hand = [windows_by_hand(t, motif, [0.3, 0.2, 0.2, 0.3])[: len(t) - width + 1].max() for t in texts.values()]
    assert np.allclose(one, hand)


def test_threads_change_no_number():
    rng = np.random.default_rng(1)
    motifs = {f"m{k}": random_motif(rng, 8) for k in range(6)}
    texts = random_sequences(30, 200, rng)
    pd.testing.assert_frame_equal(motif_scores(texts, motifs), motif_scores(texts, motifs, n_cpus=3), check_exact=True)


def test_scores_that_are_refused():
    motifs, texts = {"a m": np.full((4, 6), 0.25)}, ["ACGTACGT", "ACGTAC"]
    for how, words in (
        (dict(X=["ACGTACGT", "ACG"]), "'1' has 3 letters, but motif 'a m' is 6 wide"),
        (dict(score="best"), "choose one of logsumexp"),
        (dict(genes=["a"]), "1 genes are named, but there are 2"),
        (dict(genes=["a", "a"]), "'a' has more than one sequence"),
        (dict(background="1,2,3"), "four positive numbers"),
        (dict(background="a,b,c,d"), "four positive numbers"),
        (dict(motifs={}), "no motifs"),
    ):
        with pytest.raises(InputError, match=words):
            motif_scores(**(dict(X=texts, motifs=motifs) | how))


def test_planted_sites_are_told_apart():
    rng = np.random.default_rng(8)
    motif = 0.94 * one_hot(["ATGACTCAT"])[0] + 0.015
    texts = random_sequences(500, 800, rng, gc=0.38)
    texts = [plant(t, draw_site(motif, rng), int(rng.integers(780))) if i < 250 else t for i, t in enumerate(texts)]
    for score in ("logsumexp", "max"):
        assert roc_auc_score(np.arange(500) < 250, motif_scores(texts, {"m": motif}, score)["m"]) > 0.95


def test_p_values_against_a_million_random_windows():
    rng = np.random.default_rng(0)
    motif, background = random_motif(rng, 9), np.array([0.31, 0.19, 0.19, 0.31])
    table = score_table(log_ratios(motif, background), background)
    windows = rng.choice(4, p=background, size=(1_000_000, 9))
    sums = table.steps[windows, np.arange(9)].sum(axis=1)
    for p in (0.3, 0.01, 0.001):
        step = int(np.argmax(table.p_values <= p))
        assert abs((sums >= step + table.lowest).mean() - table.p_values[step]) < 5 * np.sqrt(p / 1e6)
    assert table.p_values[0] == pytest.approx(1) and (np.diff(table.p_values) <= 0).all() and table.p_values[-1] > 0


def test_no_p_value_below_that_of_the_best_word():
    assert best_p_value(0.97 * one_hot(["CGGACC"])[0] + 0.0075, EVEN) == 4.0**-6
    assert best_p_value(np.array([[0.5, 0.5, 0, 0]]).T, EVEN) == 0.5


def test_columns_are_named_like_the_core_names_them():
    scores = pd.DataFrame([[1.0, 3.0, 3.0]], columns=["MA1.1 Gcn4", "MA2.1 YAP1", "MA3.1 GCN4"])
    names = {"YEL009C": "GCN4"}
    added = name_factors(scores, "logsumexp", names)
    assert list(added.columns) == ["YEL009C", "YAP1"] and np.allclose(added, [[np.log2(2**1 + 2**3), 3]])
    assert name_factors(scores, "max", names)["YEL009C"].tolist() == [3] and name_factors(scores, "count", names)["YEL009C"].tolist() == [4]
    assert list(name_factors(scores.iloc[:, 1:], "max").columns) == ["YAP1", "GCN4"]


# ---- the command -------------------------------------------------------------------------------


FACTORS = [*(f"F{k}" for k in range(7)), "F6::F7"]  # the last as JASPAR names two factors that bind as one


def write_promoters(folder, seed=5, n=700):
    "Promoters of 300 letters; the response falls where sites of both F0 and F3 are there."
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("ACGT"), 9)) for _ in range(8)]
    motifs = {f"M{k} {FACTORS[k]}": 0.94 * one_hot([w])[0] + 0.015 for k, w in enumerate(words)}
    has = rng.random((n, 8)) < 0.3
    lines, both = [], has[:, 0] & has[:, 3]
    for g, text in enumerate(random_sequences(n, 300, rng, gc=0.38)):
        places = rng.permutation(np.arange(0, 280, 20))
        for k in np.flatnonzero(has[g]):
            text = plant(text, draw_site(motifs[f"M{k} {FACTORS[k]}"], rng), int(places[k]))
        lines.append(f">G{g:03}\n{text}\n")
    (folder / "promoters.fa").write_text("".join(lines))
    (folder / "motifs.meme").write_text(meme_text(motifs))
    (folder / "names.csv").write_text("id,name\n" + "".join(f"ID{k},F{k}\n" for k in range(7)))
    response = pd.DataFrame({"ID0": -1.0 * both + rng.normal(0, 0.3, n)}, index=pd.Index([f"G{g:03}" for g in range(n)], name="gene"))
    response.to_csv(folder / "response.csv")
    return ["motif_scores", "--sequences", str(folder / "promoters.fa"), "--motifs", str(folder / "motifs.meme")]


def test_from_promoters_to_the_planted_interaction(tmp_path, capsys):
    command = [*write_promoters(tmp_path), "--names", str(tmp_path / "names.csv"), "--output", str(tmp_path / "predictors.csv")]
    assert main(command) == 0 and "700 genes × 8 factors" in capsys.readouterr().out
    run = ["linear_perturbation_binding_modeling", "--response_file", str(tmp_path / "response.csv"), "--predictors_file"]
    run += [str(tmp_path / "predictors.csv"), "--perturbed_tf", "ID0", "--n_bootstraps", "100", "--random_state", "1", "--n_cpus", "1"]
    assert main([*run, "--no_report", "--output_dir", str(tmp_path / "out")]) == 0
    result = read_run(tmp_path / "out" / "ID0")
    assert list(result.all_data.bootstrap_coefs_df) == [*(f"ID0:ID{k}" for k in range(1, 7)), "ID0:F6::F7"]
    assert "ID0:ID3" in result.survivors
    strongest = result.all_data.bootstrap_coefs_df.median().abs().idxmax()
    assert strongest == "ID0:ID3"


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "p.parquet"])
def test_what_is_written_is_what_the_core_reads(tmp_path, name):
    from tfbpmodeling.modeling_data import read_table

    command = [*write_promoters(tmp_path, n=20), "--output", str(tmp_path / name), "--score", "max", "--background", "uniform"]
    assert main(command) == 0
    table = read_table(tmp_path / name)
    sequences, motifs = read_fasta(tmp_path / "promoters.fa"), read_motifs(tmp_path / "motifs.meme")
    wanted = motif_scores(sequences, motifs, "max", background="uniform")
    assert list(table.index) == list(sequences) and list(table.columns) == FACTORS
    assert np.allclose(table, wanted, atol=1e-6)
    first = (tmp_path / name).read_bytes()
    assert main(command) == 2 and main([*command, "--overwrite"]) == 0 and (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize(
    "extra, words",
    [
        (["--output", "x.xlsx"], "must end in .csv"),
        (["--output", "no/such/folder/x.csv"], "cannot be written"),
        (["--output", "x.csv", "--score", "logsum"], "Did you mean 'logsumexp'"),
        (["--output", "x.csv", "--background", "0.5,0.5"], "four positive numbers"),
        (["--output", "x.csv", "--genome", "none.fa"], "chromosome, start and end are needed"),
        (["--output", "x.csv", "--names", "none.csv"], "does not exist"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, capsys, monkeypatch, extra, words):
    command = write_promoters(tmp_path, n=5)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main([*command, *extra]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and words in said[0] and sorted(tmp_path.iterdir()) == before
