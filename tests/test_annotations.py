"""Counts, pairs and spacings of annotations: against loops over pairs, and on the tutorial's example."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from tfbpmodeling.config import InputError
from tfbpmodeling.sequence.annotations import (
    count_annotations,
    hit_annotations,
    information_content,
    pairwise_annotations,
    pairwise_annotations_spacing,
    plot_annotation_counts,
    plot_hit_attributions,
    plot_logo,
    plot_pair_heatmap,
    plot_spacing,
    resolve_overlaps,
    score_hits,
    spacing_profile,
)

FIVE = np.array([[0, 639], [0, 1243], [0, 1743], [0, 357], [0, 1295]])
# Positions that give the tutorial's distances: from left to right 1743, 357, 1295, 1243, and 639 far to the right.
PLACED = np.array([[0, 639, 400, 410], [0, 1243, 196, 206], [0, 1743, 100, 110], [0, 357, 125, 140], [0, 1295, 161, 175]])


def random_annotations(rng, apart=True):
    "Rows in no order; with `apart`, the annotations of an example do not overlap."
    rows = []
    for e in range(rng.integers(1, 8)):
        end = 0
        for _ in range(rng.integers(0, 9)):
            start = end + rng.integers(0, 25) if apart else rng.integers(0, 120)
            end = start + rng.integers(1, 12)
            rows.append((e, rng.integers(0, 6), start, end))
    rows = rows or [(0, 0, 3, 9)]
    return rng.permutation(np.array(rows))


def pairs_by_loops(rows, n, unique, symmetric, order):
    "Every two rows of an example, one after the other."
    table = np.zeros((n, n), dtype=int)
    for e in np.unique(rows[:, 0]):
        names = [int(a) for a in rows[rows[:, 0] == e, 1]]
        names = list(dict.fromkeys(names)) if unique else names
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                first, second = (min(a, b), max(a, b)) if order == "index" else (a, b)
                table[first, second] += 1
                if symmetric and a != b:
                    table[second, first] += 1
    return table


def spacing_by_loops(rows, n, max_distance, symmetric):
    cube = np.zeros((n, n, max_distance), dtype=int)
    for i in range(len(rows)):
        for j in range(len(rows)):
            (e, a, start, end), (f, b, other, _) = rows[i], rows[j]
            gap = other - end
            if e == f and i != j and other >= start and 0 <= gap < max_distance:
                cube[a, b, gap] += 1
                if symmetric and a != b:
                    cube[b, a, gap] += 1
    return cube


# ---- counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_a_loop(seed):
    rows = random_annotations(np.random.default_rng(seed))
    table = np.zeros((10, 7), dtype=int)
    for e, a, *_ in rows:
        table[e, a] += 1
    assert (count_annotations(rows[:, :2], shape=(10, 7)).toarray() == table).all()
    assert (count_annotations(rows[:, :2], shape=(10, 7), dim=0) == table.sum(axis=0)).all()
    assert (count_annotations(rows[:, :2], shape=(10, 7), dim=1) == table.sum(axis=1)).all()
    assert count_annotations(rows[:, :2]).shape == (rows[:, 0].max() + 1, rows[:, 1].max() + 1)


def test_the_same_annotations_in_any_form():
    frame = pd.DataFrame(PLACED, columns=["example", "annotation", "start", "end"])
    wanted = pairwise_annotations_spacing(PLACED, 150)
    for form in (frame, frame.astype("int32"), tuple(PLACED.T), [frame[c] for c in frame], (PLACED[:, [0, 2, 3]], PLACED[:, 1:2])):
        assert (np.array(pairwise_annotations_spacing(form, 150).coords) == np.array(wanted.coords)).all()
    assert (count_annotations(tuple(PLACED.T[:2])).toarray() == count_annotations(PLACED[:, :2]).toarray()).all()


def test_three_hundred_copies():
    assert count_annotations(np.zeros((300, 2), dtype=int))[0, 0] == 300
    with pytest.raises(InputError, match="300, more than uint8"):
        count_annotations(np.zeros((300, 2), dtype=int), dtype=np.uint8)
    assert count_annotations(FIVE, dtype=np.uint8).dtype == np.uint8


@pytest.mark.parametrize("function, columns", [(count_annotations, 2), (pairwise_annotations, 2), (pairwise_annotations_spacing, 4)])
def test_what_is_refused(function, columns):
    good = np.arange(4 * columns).reshape(4, columns)
    with pytest.raises(InputError, match="whole numbers"):
        function(good.astype(float))
    with pytest.raises(InputError, match="negative number in row 2"):
        function(np.where(np.arange(4)[:, None] == 2, -1, good))
    with pytest.raises(InputError, match=f"{columns} are needed"):
        function(good[:, :1])
    with pytest.raises(InputError, match="must be at least 14" if columns == 4 else "must be at least"):
        function(good, shape=(99, 3) if function is count_annotations else 3)


def test_empty_input_keeps_its_shape():
    none = np.empty((0, 2))
    assert count_annotations(none, shape=(3, 4)).toarray().tolist() == np.zeros((3, 4)).tolist()
    assert count_annotations(none, shape=(3, 4), dim=0).tolist() == [0] * 4
    assert pairwise_annotations(none, shape=4).shape == (4, 4) and pairwise_annotations(none, symmetric=False, shape=4).nnz == 0
    assert pairwise_annotations_spacing(np.empty((0, 4)), 7, shape=4).shape == (4, 4, 7)
    assert pairwise_annotations_spacing(pd.DataFrame(columns=list("abcd")), 7).shape == (0, 0, 7)


# ---- pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("symmetric, order", [(True, "row"), (False, "row"), (False, "index")])
def test_pairs_are_those_of_a_loop(unique, symmetric, order, monkeypatch):
    monkeypatch.setattr("tfbpmodeling.sequence.annotations._AT_ONCE", 5)  # many pieces
    for seed in range(30):
        rows = random_annotations(np.random.default_rng(seed))
        ours = pairwise_annotations(rows[:, :2], unique=unique, symmetric=symmetric, order=order, shape=6)
        assert (ours.toarray() == pairs_by_loops(rows, 6, unique, symmetric, order)).all()
        assert not (ours.data == 0).any()


def test_the_tutorials_five_motifs():
    together = pairwise_annotations(FIVE)
    by_row, by_index = (pairwise_annotations(FIVE, symmetric=False, order=order).sum(axis=1) for order in ("row", "index"))
    assert together.sum() == 20 and by_row.sum() == by_index.sum() == 10
    assert by_index[[639, 357, 1295]].tolist() == [3, 4, 1] and by_row[[639, 357, 1295]].tolist() == [4, 1, 0]


@pytest.mark.parametrize("k", [1, 2, 5, 300])
def test_copies_of_one_motif(k):
    copies = np.zeros((k, 2), dtype=int)
    assert pairwise_annotations(copies, unique=False).toarray().tolist() == [[k * (k - 1) // 2]]
    assert pairwise_annotations(copies, unique=False, symmetric=False).toarray().tolist() == [[k * (k - 1) // 2]]
    assert pairwise_annotations(copies).toarray().tolist() == [[0]]


# ---- spacings ----------------------------------------------------------------------------------


def test_the_tutorials_spacings():
    spacing = pairwise_annotations_spacing(PLACED, max_distance=150)
    wanted = {(357, 1243): 56, (357, 1295): 21, (357, 1743): 15, (1295, 1243): 21, (1743, 1243): 86, (1743, 1295): 51}
    found = {(int(a), int(b)): int(gap) for a, b, gap in zip(*spacing.coords)}
    assert found == wanted | {(b, a): gap for (a, b), gap in wanted.items()} and set(spacing.data) == {1}


@pytest.mark.parametrize("symmetric", [True, False])
def test_spacings_are_those_of_a_loop(symmetric, monkeypatch):
    monkeypatch.setattr("tfbpmodeling.sequence.annotations._AT_ONCE", 5)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows, max_distance = random_annotations(rng), int(rng.integers(1, 60))
        ours = pairwise_annotations_spacing(rows, max_distance, symmetric, shape=6)
        assert (ours.toarray() == spacing_by_loops(rows, 6, max_distance, symmetric)).all()
        shuffled = pairwise_annotations_spacing(rng.permutation(rows), max_distance, symmetric, shape=6)
        assert (ours.toarray() == shuffled.toarray()).all()


def test_the_ends_of_the_distance_axis():
    touching = np.array([[0, 0, 0, 5], [0, 1, 5, 9], [0, 2, 15, 16]])
    spacing = pairwise_annotations_spacing(touching, max_distance=10)
    assert spacing_profile(spacing, 0, 1).tolist() == [1] + [0] * 9
    assert spacing_profile(spacing, 0, 2).sum() == 0  # gap 10 == max_distance
    assert spacing_profile(pairwise_annotations_spacing(touching, max_distance=11), 0, 2)[10] == 1


@pytest.mark.parametrize("other", [(3, 9), (2, 4), (1, 3), (1, 8), (4, 5)], ids=["overlap", "inside", "tied start", "longer", "tied end"])
def test_overlaps_raise_or_are_dropped(other):
    rows = np.array([[0, 0, 1, 5], [0, 1, *other], [0, 2, 20, 22]])
    with pytest.raises(InputError, match="overlap and have no distance"):
        pairwise_annotations_spacing(rows)
    dropped = pairwise_annotations_spacing(rows, overlap="drop", symmetric=False)
    assert sorted(zip(*(c.tolist() for c in dropped.coords))) == [(0, 2, 15), (1, 2, 20 - other[1])]


@pytest.mark.parametrize("seed", range(10))
def test_dropped_overlaps_are_those_of_a_loop(seed):
    rows = random_annotations(np.random.default_rng(seed), apart=False)
    ours = pairwise_annotations_spacing(rows, 40, overlap="drop", shape=6)
    assert (ours.toarray() == spacing_by_loops(rows, 6, 40, True)).all()


# ---- hits --------------------------------------------------------------------------------------


def random_hits(rng, n=60):
    start = rng.integers(0, 80, n)
    hits = pd.DataFrame(dict(motif_name="m", motif_idx=rng.integers(0, 5, n), sequence_name=rng.integers(0, 4, n), start=start))
    return hits.assign(end=start + rng.integers(1, 15, n), score=rng.normal(size=n), **{"p-value": rng.choice([1e-6, 1e-5, 1e-4], n)})


@pytest.mark.parametrize("by", ["p-value", "score"])
def test_resolved_hits_are_those_of_a_greedy_loop(by):
    for seed in range(6):
        hits = random_hits(np.random.default_rng(seed))
        order = hits.sort_values(by=[by, "start"], ascending=[by == "p-value", True], kind="stable").index
        kept = []
        for i in order:
            h = hits.loc[i]
            others = hits.loc[kept]
            clash = (others["sequence_name"] == h["sequence_name"]) & (others["start"] < h["end"]) & (others["end"] > h["start"])
            if not clash.any():
                kept.append(i)
        wanted = hits.loc[sorted(kept)].reset_index(drop=True)
        pd.testing.assert_frame_equal(resolve_overlaps(hits, by), wanted)
        spacing = pairwise_annotations_spacing(hit_annotations(resolve_overlaps(hits, by)))  # would raise
        assert spacing.sum() > 0


def test_no_hits_are_no_trouble():
    none = random_hits(np.random.default_rng(0)).iloc[:0]
    assert len(resolve_overlaps(none)) == 0 and hit_annotations(none).shape == (0, 4)
    assert len(score_hits(none, np.zeros((2, 9)))) == 0


def test_scored_hits():
    rng = np.random.default_rng(5)
    hits, weights = random_hits(rng), rng.normal(size=(4, 4, 95))
    scored = score_hits(hits, weights, threshold=0.0)
    sums = [weights[h.sequence_name, :, h.start : h.end].sum() for h in hits.itertuples()]
    assert np.allclose(scored["attribution"], sorted((s for s in sums if s >= 0), reverse=True))
    named = hits.assign(sequence_name=hits["sequence_name"].map(dict(enumerate("wxyz"))))
    assert np.allclose(score_hits(named, weights.sum(axis=1), sequences=list("wxyz"))["attribution"], sorted(sums, reverse=True))
    with pytest.raises(InputError, match="outside the attributions"):
        score_hits(hits, weights[:, :, :50])
    with pytest.raises(InputError, match="'w'"):
        hit_annotations(named, list("xyz"))


def test_planted_pair_stands_alone_in_its_bin():
    "Two motifs 17 bp apart in 250 of 500 sequences, each found on both strands and with a weaker neighbour, among chance hits."
    rng, rows = np.random.default_rng(11), []
    for e in range(500):
        first = rng.integers(0, 160)
        if e < 250:
            for motif, start in ((0, first), (1, first + 7 + 17)):
                rows += [(motif, e, start, start + 7, 1e-7), (motif, e, start, start + 7, 2e-7), (2, e, start + 2, start + 9, 1e-5)]
        for start in rng.integers(0, 190, rng.poisson(1)):
            rows.append((rng.integers(0, 4), e, start, start + 7, 9e-5))
    hits = pd.DataFrame(rows, columns=["motif_idx", "sequence_name", "start", "end", "p-value"])
    spacing = pairwise_annotations_spacing(hit_annotations(resolve_overlaps(hits)), symmetric=False)
    profile = spacing_profile(spacing, 0, 1)
    assert profile[17] == 250 and np.delete(profile, 17).max() <= 3


# ---- figures -----------------------------------------------------------------------------------


def test_figures_are_axes_with_named_axes():
    rng = np.random.default_rng(2)
    rows = random_annotations(rng)
    hits = score_hits(random_hits(rng), rng.normal(size=(4, 95)))
    spacing = pairwise_annotations_spacing(rows, 30, symmetric=False, shape=6)
    names = [f"$M_{i}$" for i in range(6)]  # as text, not as mathematics
    counts, pairs = count_annotations(rows[:, :2], shape=(9, 6)), pairwise_annotations(rows[:, :2], shape=6)
    drawn = [
        plot_hit_attributions(hits, 0.5),
        plot_annotation_counts(counts, names),
        plot_annotation_counts(counts.sum(axis=0), most=2),
        plot_pair_heatmap(pairs, names),
        plot_pair_heatmap(pairs.toarray(), names, most=2, cluster=False),
        plot_spacing(spacing, 0, 1, names),
        plot_spacing(spacing, 0, 0, names),
        plot_logo(rng.normal(size=(4, 400)), hits.head(3).assign(start=[99, 102, 300], end=[105, 106, 312]), start=100, end=120),
    ]
    for ax in drawn:
        assert isinstance(ax, Axes)
        ax.figure.draw_without_rendering()
    assert [t.get_text() for t in drawn[1].get_yticklabels()][0].startswith("$M_")
    assert np.allclose(drawn[-1].get_xlim(), (99.3, 119.7)) and len(drawn[-1].texts) == 2


def test_letters_of_a_logo_are_as_high_as_their_values():
    values = np.array([[1.0, 0, -0.5], [0.5, 0, 0], [0, 0, 0.25], [0, 0, 0]])
    paths = plot_logo(values).collections[0].get_paths()
    boxes = sorted((round(p.get_extents().x0), *np.round(p.get_extents().intervaly, 6)) for p in paths)
    assert boxes == [(0, 0.0, 0.5), (0, 0.5, 1.5), (2, -0.5, 0.0), (2, 0.0, 0.25)]
    with pytest.raises(InputError, match="4 rows"):
        plot_logo(values[:2])


def test_start_and_end_slice_a_logo():
    values = np.random.default_rng(0).normal(size=(4, 2000))
    whole, part = (
        plot_logo(v, start=s, end=e).collections[0].get_paths() for v, s, e in ((values, 925, 975), (values[:, 925:975], None, None))
    )
    assert len(whole) == len(part) == 4 * 50
    assert all(np.allclose(a.vertices - [925, 0], b.vertices) for a, b in zip(whole, part))
    assert np.allclose(plot_logo(values, start=1990).get_xlim(), (1989.3, 1999.7))
    assert plot_logo(values, end=9, ylim=2).get_ylim() == (-2, 2) and plot_logo(values, end=9, ylim=(-1, 4)).get_ylim() == (-1, 4)
    for start, end in ((2000, None), (-1, 9), (9, 9), (0, 2001)):
        with pytest.raises(InputError, match="of 2000 positions"):
            plot_logo(values, start=start, end=end)


def test_bars_of_a_logo_need_names_and_may_have_scores():
    seqlets = pd.DataFrame({"example": [0, 0], "start": [5, 30], "end": [9, 38], "attribution": [0.5, 0.25], "p-value": [1e-4, 1e-3]})
    values = np.ones((4, 50))
    with pytest.raises(InputError, match="no column 'motif_name', but example, start, .*assign.motif_name=names"):
        plot_logo(values, seqlets)
    named = seqlets.assign(motif_name=["A", "B"])
    assert [t.get_text() for t in plot_logo(values, named, score_key="p-value").texts] == ["A (0.0001)", "B (0.001)"]
    assert [t.get_text() for t in plot_logo(values, named, end=20).texts] == ["A"]
    with pytest.raises(InputError, match="no column 'score'"):
        plot_logo(values, named, score_key="score")


def test_counts_in_a_type_of_pytorch():
    "Without PyTorch: a type that says of itself that it is one of its."
    Type = type("dtype", (), {"__module__": "torch", "__repr__": lambda self: f"torch.{self.name}"})
    float32, strange = Type(), Type()
    float32.name, strange.name = "float32", "bfloat16"
    rows = PLACED
    for counts in (count_annotations(rows[:, :2], dtype=float32), count_annotations(rows[:, :2], dim=0, dtype=float32), pairwise_annotations(rows[:, :2], dtype=float32), pairwise_annotations_spacing(rows, 150, dtype=float32)):  # fmt: skip
        assert counts.dtype == np.float32 and counts.sum() > 0
    with pytest.raises(InputError, match="bfloat16"):
        count_annotations(rows[:, :2], dtype=strange)


def test_information_content():
    rng = np.random.default_rng(0)
    motif = rng.dirichlet([0.5] * 4, 9).T
    entropy = -(motif * np.log2(motif)).sum(axis=0)
    assert np.allclose(information_content(motif).sum(axis=0), 2 - entropy)
    assert information_content(np.eye(4)).sum() == 8
