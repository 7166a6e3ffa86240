"""The annotation tutorial: the code of a short copy of our own making runs as it stands, and names what was planted."""

import re
from pathlib import Path

import numpy as np
import pytest

from tfbpmodeling.config import InputError
from tfbpmodeling.sequence import annotations, explanation, motif_files, motifs
from tfbpmodeling.sequence.motifs import match_motifs, one_hot

torch = pytest.importorskip("torch", reason="make test-sequence installs it")
tangermeme = pytest.importorskip("tangermeme", reason="make test-sequence installs it")
DOCUMENT = (Path(__file__).resolve().parents[1] / "data" / "document_annotations.md").read_text(encoding="utf-8")


def two_sites(length: int):
    "A network with known truth: its output rises by one for each AP-1 or ETS site, on either strand."
    words = ["TGACTCA", "CGGAAGTG"]
    filters = torch.nn.Conv1d(4, 4, 8)
    weights = torch.zeros(4, 4, 8)
    for k, word in enumerate(words):
        hot = torch.as_tensor(one_hot([word])[0], dtype=torch.float32)
        weights[2 * k, :, : len(word)], weights[2 * k + 1, :, : len(word)] = hot, hot.flip(0, 1)
    filters.weight.data, filters.bias.data = weights, torch.tensor([1.0 - len(w) for w in words for _ in range(2)])
    total = torch.nn.Linear(4 * (length - 7), 1, bias=False)
    total.weight.data.fill_(1.0)
    return torch.nn.Sequential(filters, torch.nn.ReLU(), torch.nn.Flatten(), total).eval()


@pytest.fixture(scope="module")
def ran(shared):
    "What the document's code leaves behind."
    from tangermeme.ersatz import multisubstitute
    from tangermeme.utils import random_one_hot

    names = {"np": np, "torch": torch, "multisubstitute": multisubstitute, "random_one_hot": random_one_hot, "model": two_sites(2000)}
    names["database"] = shared / "data" / "motifs" / "jaspar2024_vertebrates.meme"
    for module in (annotations, explanation, motif_files, motifs):
        names |= {name: getattr(module, name) for name in module.__all__}
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)
    assert len(blocks) == 6
    for block in blocks:
        exec(block, names)
    return names


def test_every_planted_site_is_named(ran):
    table = ran["named"].sort_values("start")
    assert [name.split()[-1] for name in table["motif_name"]] == ["Jun", "Jun", "ETV6"]
    planted = np.array([[950, 960], [980, 990], [1010, 1020]])
    assert (table["start"].to_numpy() <= planted[:, 0] + 1).all() and (table["end"].to_numpy() >= planted[:, 1] - 1).all()
    assert (ran["p_values"] < 1e-3).all() and (table["p-value"] < 1e-6).all()


def test_names_and_p_values_are_tangermemes(ran):
    from tangermeme.annotate import annotate_seqlets

    index, p_values = annotate_seqlets(torch.as_tensor(ran["X"], dtype=torch.float64), ran["seqlets"], ran["motifs"], n_jobs=1)
    assert (ran["index"] == index.numpy()).all() and np.allclose(ran["p_values"], p_values.numpy())


def test_the_cut_that_was_the_default_would_have_lost_all_three(ran):
    index, _ = ran["annotate_seqlets"](ran["X"], ran["seqlets"], ran["motifs"], alpha=0.05)
    assert (index < 0).all()
    with pytest.raises(IndexError):
        _ = list(ran["motifs"])[index[0, 0]]


def test_the_logo_shows_the_part_that_was_asked_for(ran):
    ax = ran["ax"]
    assert np.allclose(ax.get_xlim(), (924.3, 1024.7)) and ax.get_ylim() == (-0.2, 0.2) and len(ax.texts) == 3
    assert all(re.fullmatch(r"MA\d+\.\d \w+ \([\d.e-]+\)", text.get_text()) for text in ax.texts)


def test_counts_and_hits(ran):
    jun, etv6 = (
        next(k for k, name in enumerate(ran["motifs"]) if name.split()[-1] == factor and name in ran["names"]) for factor in ("Jun", "ETV6")
    )
    counts, by_motif = ran["counts"], ran["by_motif"]
    assert counts.dtype == np.float32 and counts[0, jun] == 2 and counts[0, etv6] == 1 and by_motif.sum() == 3 == counts.sum()
    spacing = ran["pairwise_annotations_spacing"](ran["places"], max_distance=100, symmetric=False)
    assert spacing.sum() == 3  # of two Jun, and of either with ETV6 on its right
    assert (annotations.spacing_profile(spacing, jun, etv6) > 0).sum() == 2 and annotations.spacing_profile(spacing, etv6, jun).sum() == 0
    hits, by_name, by_sequence = ran["hits"], ran["by_name"], ran["by_sequence"]
    assert [len(t) for t in by_sequence] == [len(hits)] and by_sequence[0].equals(hits)
    assert len(by_name) == 2 and sum(map(len, by_name)) == len(hits) and all((t["motif_idx"] == k).all() for k, t in enumerate(by_name))
    used = ran["used"]
    assert len(used) >= 3 and ((used["start"] >= 945) & (used["end"] <= 1022)).all() and len(used) < len(hits)


def test_pairs_and_gaps_of_five_motifs(ran):
    assert ran["pairs"].sum() == 20 and ran["ordered"].sum() == 10
    gaps = {(int(a), int(b)): int(gap) for a, b, gap in zip(*ran["gaps"].coords) if a < b}
    assert gaps == {(357, 1243): 56, (357, 1295): 21, (357, 1743): 15, (1243, 1295): 21, (1243, 1743): 86, (1295, 1743): 51}


def test_hits_by_sequence_keep_sequences_without_hits(ran):
    motif = {"AP1": one_hot(["TGACTCA"])[0] * 0.97 + 0.01}
    texts = {"none": "A" * 60, "one": "A" * 30 + "TGACTCA" + "A" * 30}
    tables = ran["find_hits"](texts, motif, background="uniform", dim=1)
    assert [len(t) for t in tables] == [0, 1] and tables[1]["sequence_name"].tolist() == ["one"]
    with pytest.raises(InputError, match="dim 2"):
        ran["find_hits"](texts, motif, dim=2)


def test_a_database_may_be_a_path(ran):
    by_path = match_motifs(["TGACTCA"], ran["database"], n_nearest=1)
    assert by_path.equals(match_motifs(["TGACTCA"], ran["motifs"], n_nearest=1))
