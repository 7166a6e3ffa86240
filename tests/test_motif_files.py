"""Motif files of every kind: the same ten factors come first whatever the format; what is in doubt, of RNA, or a pipe is refused with one sentence."""

import logging
import os

import numpy as np
import pytest

from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import plant, random_sequences
from tfbpmodeling.modeling_data import read_table
from tfbpmodeling.sequence.motif_files import as_motifs, factor_of, read_motifs
from tfbpmodeling.sequence.motifs import motif_scores, read_fasta

RNG = np.random.default_rng(19)
WIDTHS = (4, 6, 7, 8, 9, 10, 11, 12, 15, 20)  # a motif of four positions looks the same from both sides
COUNTS = {f"TF{k}": RNG.multinomial(400, RNG.dirichlet([0.15] * 4), size=w) for k, w in enumerate(WIDTHS)}  # (width, 4)
for motif in COUNTS.values():
    motif += (motif.max(axis=1, keepdims=True) == motif) * 40  # no even position
WANTED = {name: (c / c.sum(axis=1, keepdims=True)).T for name, c in COUNTS.items()}


def rows(table, form="{:g}", between="\t"):
    return "\n".join(between.join(form.format(v) for v in row) for row in table)


def log_odds(counts, power):
    "As HOCOMOCO makes them, with a pseudocount of ln N."
    total = counts.sum(axis=1, keepdims=True)
    pseudo = np.log(total)
    return power((counts + pseudo / 4) / (total + pseudo) / 0.25)


def meme_report(counts):
    "What the MEME program prints: a banner, then motifs within a long report."
    stars = "*" * 80
    head = f"{stars}\nMEME - Motif discovery tool\n{stars}\nMEME version 5.5.3 (Release date: a day)\n\n{stars}\nTRAINING SET\n{stars}\nALPHABET= ACGT\nSequence name  Weight Length\n\n"
    parts = []
    for name, c in counts.items():
        parts.append(
            f"{stars}\nMOTIF {name}\twidth = {len(c):3d}  sites = 17  llr = 200  E-value = 1.1e-009\n{stars}\n"
            f"\tMotif {name} position-specific scoring matrix\nlog-odds matrix: alength= 4 w= {len(c)} n= 90 bayes= 4.3 E= 1\n{rows(c * 0 - 3)}\n{'-' * 80}\n"
            f"letter-probability matrix: alength= 4 w= {len(c)} nsites= 17 E= 1.1e-009 \n{rows(c / c.sum(axis=1, keepdims=True), ' {:.6f}', ' ')}\n{'-' * 80}\n"
            f"\tMotif {name} regular expression\n{'-' * 80}\nGA[TC]\n"
        )
    return head + "\n".join(parts) + f"{stars}\nSUMMARY OF MOTIFS\n{stars}\nSEQUENCE NAME  COMBINED P-VALUE  MOTIF DIAGRAM\n"


PROBABILITIES = {name: c / c.sum(axis=1, keepdims=True) for name, c in COUNTS.items()}
MEME = "MEME version 4\n\nALPHABET= ACGT\n\n" + "".join(
    f"MOTIF {n}\nletter-probability matrix: alength= 4 w= {len(p)} nsites= 20 E= 0\n{rows(p, '{:.6f}')}\nURL http://x\n\n"
    for n, p in PROBABILITIES.items()
)
DNA = 'ALPHABET "DNA" DNA-LIKE\nA "Adenine" CC0000 ~ T "Thymine" 0000CC\nC "Cytosine" ~ G "Guanine" FFB300\nN = ACGT\nR = AG\nEND ALPHABET'
FILES = {
    "meme": MEME,
    "meme, windows": MEME.replace("\n", "\r\n"),
    "meme, marked": "\ufeff" + MEME,
    "meme, every key left out": "".join(
        line.split(":")[0] + ":\n" if line.startswith("letter") else line for line in MEME.splitlines(True)
    ),
    "meme, its own alphabet": MEME.replace("ALPHABET= ACGT", DNA),
    "the report of MEME": meme_report(COUNTS),
    "jaspar": "".join(f">{n}\n" + "".join(f"{x}  [ {' '.join(map(str, r))} ]\n" for x, r in zip("ACGT", c.T)) for n, c in COUNTS.items()),
    "jaspar, marked": "\ufeff"
    + "".join(f">{n}\n" + "".join(f"{x} {' '.join(map(str, r))}\n" for x, r in zip("ACGT", c.T)) for n, c in COUNTS.items()),  # fmt: skip
    "jaspar, raw": "".join(f">{n}\n{rows(c.T)}\n" for n, c in COUNTS.items()),
    "homer": "".join(
        f">ACGT\t{n}\t6.049537\t-1782.9\t0\tT:50.0(10%),B:9.1(1%),P:1e-20\n{rows(p, '{:.4f}')}\n" for n, p in PROBABILITIES.items()
    ),
    "hocomoco pcm": "".join(f">{n}\n{rows(c, '{:.4f}')}\n" for n, c in COUNTS.items()),
    "hocomoco ppm": "".join(f">{n}\n{rows(p, '{:.8f}')}\n" for n, p in PROBABILITIES.items()),
    "hocomoco pwm": "".join(f">{n}\n{rows(log_odds(c, np.log), '{:.4f}')}\n" for n, c in COUNTS.items()),
    "pwm in bits": "".join(f">{n}\n{rows(log_odds(c, np.log2), '{:.4f}')}\n" for n, c in COUNTS.items()),
    "transfac": "".join(
        f"AC {n}\nXX\nP0\tA\tC\tG\tT\n" + "".join(f"{i:02}\t{rows([r])}\tN\n" for i, r in enumerate(c, 1)) + "XX\n//\n"
        for n, c in COUNTS.items()
    ),  # fmt: skip
    "cisbp": "".join(
        f"TF Name\t{n}\nPos\tA\tC\tG\tT\n" + "".join(f"{i}\t{rows([r])}\n" for i, r in enumerate(p, 1)) + "\n"
        for n, p in PROBABILITIES.items()
    ),  # fmt: skip
}


@pytest.mark.parametrize("kind", FILES)
def test_ten_motifs_are_the_same_in_every_format(tmp_path, kind):
    path = tmp_path / "motifs.txt"
    path.write_text(FILES[kind], encoding="utf-8", newline="")
    found = read_motifs(path)
    assert list(found) == list(WANTED)
    about = 0.02 if "pwm" in kind else 1e-3  # a pseudocount is in the weights
    assert all(np.allclose(found[name], WANTED[name], atol=about) for name in WANTED)
    assert all(np.allclose(m.sum(axis=0), 1) for m in found.values())


@pytest.mark.parametrize("kind", [k for k in FILES if "pwm" not in k and "own" not in k])
def test_ten_planted_targets_come_first(tmp_path, kind):
    "One site of each motif in a promoter of its own: by score that promoter is first for its factor."
    rng, names = np.random.default_rng(3), [n for n in WANTED if len(COUNTS[n]) > 6]
    texts = random_sequences(60, 120, rng)
    for i, name in enumerate(names):
        best = "".join("ACGT"[a] for a in WANTED[name].argmax(axis=0))
        texts[i] = plant(texts[i], best, 50)
    (tmp_path / "p.fa").write_text("".join(f">G{i}\n{t}\n" for i, t in enumerate(texts)))
    (tmp_path / "m.txt").write_text(FILES[kind], encoding="utf-8", newline="")
    command = ["motif_scores", "--sequences", str(tmp_path / "p.fa"), "--motifs", str(tmp_path / "m.txt"), "--score", "max"]
    assert main([*command, "--output", str(tmp_path / "t.csv"), "--n_cpus", "1"]) == 0
    table = read_table(tmp_path / "t.csv")
    assert list(table) == list(WANTED)
    assert all(table.loc[f"G{i}", name] == table[name].max() for i, name in enumerate(names))


REFUSED = {
    'MEME version 4\nALPHABET "RNA" RNA-LIKE\nA "Adenine"\nC "C"\nG "G"\nU "Uracil"\nEND ALPHABET\nMOTIF a\nletter-probability matrix: w= 1\n1 0 0 0\n': 'alphabet "RNA" RNA-LIKE: motifs of DNA',
    'MEME version 4\nALPHABET "RNA"\nMOTIF a\nletter-probability matrix: w= 1\n1 0 0 0\n': 'alphabet "RNA": motifs of DNA',
    "MEME version 4\nALPHABET= ACGU\nMOTIF a\nletter-probability matrix: w= 1\n1 0 0 0\n": "alphabet ACGU",
    "MEME version 4\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 U 0.25\nMOTIF a\nletter-probability matrix: w= 1\n1 0 0 0\n": "of its background",
    'MEME version 4\nALPHABET "methyl" DNA-LIKE\nA "A" ~ T "T"\nC "C" ~ G "G"\nm "5mC" ~ 1 "G of it"\nN = ACGT\nEND ALPHABET\nMOTIF a\n': "methyl",
    "MEME version 4\nMOTIF a\nletter-probability matrix: alength= 4 w= 2\n1 0 0 0\n0 1 0 0\n0 0 1 0\n": "'a' .line 2. is not a matrix of w= 2 positions: 3 rows follow",
    "MEME version 4\nMOTIF a\nletter-probability matrix: alength= 4 w= 3\n1 0 0 0\n0 1 0 0\n": "is not a matrix of w= 3 positions: 2 rows",
    ">a\n1 1 1 1\n1 1 1 1\n1 1 1 1\n1 1 1 1\n": "may be letters or positions",
    ">a\nA 1 2\nC 1 2\nG 1 2\nU 1 2\n": "is of RNA",
    ">a\nA 1 2\nC 1 2\nG 1 2\nG 1 2\n": "not a matrix",
    ">a\n1 2 3\n1 2 3\n1 2 3\n": "not a matrix",
    ">a\n-1 -2 3 1\n1 2 3 1\n5 5 5 5\n": "does not hold log odds",
    ">a\nA [1 2]\nC [1 2]\nG [1 2]\nT [1 2]\n>b\n1 2 3 4\n": "a row for each letter and motifs with a row for each position",
    ">G1\nACGTACGTAGCTA\n>G2\nACGATCGATC\n": "not a matrix",
    "AC a\nXX\nP0 A C G U\n01 1 0 0 0\n//\n": "line 3 has the columns A C G U",
    "Pos A C G U\n1 1 0 0 0\n": "columns A C G U",
    "Pos A C G T\n1 1 0 0 0\n3 1 0 0 0\n": "not a matrix",
    "<?xml version='1.0'?>\n<MEME>\n": "XML or HTML",
    "AC a\nXX\nID b\n": "neither MEME",
    "A 1 2\nC 1 2\nG 1 2\nT 1 2\n": "neither MEME",
    "letter-probability matrix: w= 1\n1 0 0 0\n": "neither MEME",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_in_doubt_is_refused_in_one_sentence(tmp_path, capsys, text):
    path = tmp_path / "m.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=REFUSED[text]):
        read_motifs(path)
    (tmp_path / "p.fa").write_text(">G1\nACGTACGTACGT\n")
    before = sorted(tmp_path.iterdir())
    assert main(["motif_scores", "--sequences", str(tmp_path / "p.fa"), "--motifs", str(path), "--output", str(tmp_path / "x.csv")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and sorted(tmp_path.iterdir()) == before


def test_four_by_four_is_told_by_its_sums_by_its_header_or_by_the_other_motifs(tmp_path):
    square, wide = COUNTS["TF0"], COUNTS["TF3"]
    for name, text in {
        "positions": f">TF0\n{rows(square)}\n",
        "letters": f">TF0\n{rows(square.T)}\n",
        "homer": f">ACGT\tTF0\t6.0\n{rows(square)}\n",
        "others, positions": f">TF0\n{rows(square)}\n>TF3\n{rows(wide)}\n",
        "others, letters": f">TF3\n{rows(wide.T)}\n>TF0\n{rows(square.T)}\n",
    }.items():
        (tmp_path / "m.txt").write_text(text)
        assert np.allclose(read_motifs(tmp_path / "m.txt")["TF0"], WANTED["TF0"]), name


def test_motifs_without_a_matrix_are_left_out_and_named(tmp_path, caplog):
    (tmp_path / "m.meme").write_text(MEME + "MOTIF 2 EMPTY\n\nMOTIF 3 M3\n")
    with caplog.at_level(logging.WARNING, "tfbpmodeling"):
        assert list(read_motifs(tmp_path / "m.meme")) == list(WANTED)
    assert "2 of 12 motifs have no matrix and are left out: 2 EMPTY, 3 M3" in caplog.text


def test_the_shared_cases(shared):
    folder = shared / "cases" / "motifs"
    homer, minimal, cisbp = (read_motifs(folder / name) for name in ("homer.motif", "minimal.meme", "cisbp.txt"))
    assert list(homer) == ["TF1"] and list(minimal) == ["group0 group0"] and list(cisbp) == ["cisbp"]
    diagonal = np.full((4, 4), 0.01) + 0.96 * np.eye(4)
    assert np.allclose(homer["TF1"], diagonal) and np.allclose(minimal["group0 group0"], diagonal) and cisbp["cisbp"].shape == (4, 2)
    assert list(read_motifs(folder / "nomatrix.meme")) == ["M1 TF1", "3 M3"]


@pytest.mark.parametrize(
    "name, factor",
    [
        ("MA0303.3 GCN4", "GCN4"),
        ("MA1.1 Ahr::Arnt", "Ahr::Arnt"),
        ("ELF1(ETS)/Jurkat-ELF1-ChIP-Seq(SRA014231)/Homer", "ELF1"),
        ("GRE(NR),IR3/A549-GR-ChIP-Seq(GSE32465)/Homer", "GRE(NR),IR3"),
        ("CTCF-SatelliteElement(Zf?)/CD4+-CTCF-ChIP-Seq(Barski_et_al.)/Homer", "CTCF-SatelliteElement"),
        ("Initiator/Drosophila-Promoters/Homer", "Initiator"),
        ("AHR_HUMAN.H11MO.0.B", "AHR"),
        ("NKX25_MOUSE.H11MO.0.A", "NKX25"),
        ("AHR.H12CORE.0.P.B", "AHR"),
        ("M1", "M1"),
        ("NKX2-5", "NKX2-5"),
        ("HAP1.2", "HAP1.2"),
    ],
)
def test_the_factor_of_a_motif(name, factor):
    assert factor_of(name) == factor


def test_a_pipe_is_refused_and_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "p.fa").write_text(">G1\nACGTACGTACGT\n")
    (tmp_path / "m.txt").write_text(FILES["jaspar"])
    given = dict(sequences=tmp_path / "p.fa", motifs=tmp_path / "m.txt")
    for option in given:
        files = {**given, option: tmp_path / "pipe"}
        words = [w for k, v in files.items() for w in (f"--{k}", str(v))]
        assert main(["motif_scores", *words, "--output", str(tmp_path / "x.csv")]) == 2
        assert "no regular file (a pipe?)" in capsys.readouterr().err
    with pytest.raises(InputError, match="is a directory"):
        read_motifs(tmp_path)


def test_a_marked_fasta_file(tmp_path):
    (tmp_path / "p.fa").write_text("\ufeff>G1\nACGT\n", encoding="utf-8")
    assert read_fasta(tmp_path / "p.fa") == {"G1": "ACGT"}


def test_a_file_stands_for_its_motifs(tmp_path):
    (tmp_path / "m.txt").write_text(FILES["meme"])
    texts = random_sequences(5, 60, np.random.default_rng(0))
    found = motif_scores(texts, tmp_path / "m.txt")
    assert found.equals(motif_scores(texts, read_motifs(tmp_path / "m.txt")))
    for wrong, words in (
        ("none.meme", "does not exist"),
        (["m"], "of type list: give a dict"),
        ({"a": np.ones((6, 4))}, r"'a' has the shape \(6, 4\)"),
        ({"a": np.ones(4)}, "shape"),
    ):
        with pytest.raises(InputError, match=words):
            as_motifs(wrong)
        with pytest.raises(InputError, match=words):
            motif_scores(texts, wrong)
