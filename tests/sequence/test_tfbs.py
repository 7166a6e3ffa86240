"""The TFBS network: parameters, reading, training, measures, explanations, the run directory; on generated data and on the shared sequences."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tfbpmodeling.cli import main
from tfbpmodeling.config import InputError
from tfbpmodeling.known_truth.simulation import plant, random_sequences
from tfbpmodeling.modeling_data import read_table
from tfbpmodeling.sequence.annotations import count_annotations
from tfbpmodeling.sequence.explanation import NO_MOTIF, annotate_seqlets, attribute, average_seqlet, find_seqlets, occlusion
from tfbpmodeling.sequence.motifs import Tomtom, match_motifs, one_hot
from tfbpmodeling.sequence.network import (
    WORD,
    Schedule,
    baseline_probabilities,
    build_model,
    evaluate,
    layer_table,
    load_model,
    planted_words,
    predict_log_odds,
    predicted_binding,
    probabilities,
    read_labelled,
    save_model,
    split_data,
    split_table,
    torch_threads,
    train,
    word_counts,
)
from tfbpmodeling.sequence.tfbs_report import learned_word, name_seqlets

torch = pytest.importorskip("torch", reason="make test-sequence installs it")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def real(shared):
    folder = shared / "data" / "sequences"
    return read_labelled(folder / "sequences.txt", folder / "labels.txt", labels_header=True)


@pytest.fixture(scope="module")
def generated():
    "A clone of the shared sequences: data, where the word starts, split, and a trained small network."
    data, starts = planted_words()
    split = split_data(len(data.labels))
    return data, starts, split, train(one_hot(data.sequences), data.labels, split, seed=1)


def write(folder, data, header=False):
    (folder / "s.txt").write_text("\n".join(data.sequences) + "\n")
    (folder / "l.txt").write_text(("label\n" if header else "") + "\n".join(map(str, data.labels)) + "\n")
    return [
        "tfbs",
        "--sequences",
        str(folder / "s.txt"),
        "--labels",
        str(folder / "l.txt"),
        "--output_dir",
        str(folder / "net"),
        "--n_cpus",
        "1",
    ]


# ---- networks and data -------------------------------------------------------------------------


@pytest.mark.parametrize("name, n", [("document_1", 6209), ("document_2", 128050), ("small", 801)])
def test_parameters(name, n):
    model = build_model(name, 50)
    assert layer_table(model, 50)["parameters"].sum() == n == sum(p.numel() for p in model.parameters())
    assert model(torch.zeros(3, 4, 50)).shape == (3, 2 if name == "document_2" else 1)
    same, other = build_model(name, 50), build_model(name, 50, seed=1)
    assert all((a == b).all() for a, b in zip(model.parameters(), same.parameters()))
    assert any((a != b).any() for a, b in zip(model.parameters(), other.parameters()))


def test_split_of_the_shared_sequences(real, shared):
    assert len(real.labels) == 2000 and real.labels.sum() == 987
    split = split_data(2000)
    table = split_table(real, split).set_index("part")
    assert tuple(table.loc["test", ["positive", "negative"]]) == (241, 259)
    assert sorted(np.concatenate(split)) == list(range(2000)) and len(split.validation) == 150
    folder = shared / "data" / "sequences"
    with pytest.raises(InputError, match="2000 sequences, labels.txt has 2001 labels.*--labels_header"):
        read_labelled(folder / "sequences.txt", folder / "labels.txt")


@pytest.mark.parametrize(
    "sequences, labels, words",
    [
        ("ACGT\nACGT\n", "0\n", "2 sequences, l.txt has 1 labels"),
        ("ACGT\nACGT\n", "0\nbound\n", "label 2 is 'bound'"),
        ("ACGT\nACGT\n", "bound\n1\n", "add --labels_header"),
        ("ACGT\nACG\n", "0\n1\n", "sequence 2 has 3 letters, the first has 4"),
        ("ACGT\nACGX\n", "0\n1\n", "sequence 2 holds 'X'"),
        ("sequence\nACGT\nACGT\n", "label\n0\n1\n", "sequence 1 holds 'E'.*--sequences_header"),
        ("ACGT\nACGT\n", "1\n1\n", "only the label 1"),
        ("", "", "nothing to learn from"),
    ],
)
def test_what_is_refused(tmp_path, sequences, labels, words):
    (tmp_path / "s.txt").write_text(sequences)
    (tmp_path / "l.txt").write_text(labels)
    with pytest.raises(InputError, match=words):
        read_labelled(tmp_path / "s.txt", tmp_path / "l.txt")


def test_headers_are_left_out_on_request_and_no_option_is_asked_for_twice(tmp_path):
    (tmp_path / "s.txt").write_text("sequence\nACGT\nACGA\n")
    (tmp_path / "l.txt").write_text("label\n0\n1\n")
    files = tmp_path / "s.txt", tmp_path / "l.txt"
    assert read_labelled(*files, labels_header=True, sequences_header=True).sequences == ("ACGT", "ACGA")
    for given in (dict(labels_header=True), dict(sequences_header=True)):
        with pytest.raises(InputError) as said:
            read_labelled(*files, **given)
        assert not any(f"add --{option}" in str(said.value) for option in given)
    (tmp_path / "l.txt").write_text("0\n1\n")
    with pytest.raises(InputError, match="2 sequences, l.txt has 1 labels.*the first line of the labels was left out as a header"):
        read_labelled(*files, labels_header=True, sequences_header=True)


def test_word_counts_are_those_of_a_loop():
    texts = ["ACGTNACG", "TTTTTTTT", "ACGACGAC"]
    counts = word_counts(texts, 3)
    for row, text in zip(counts, texts):
        for i in range(64):
            word = "ACGT"[i // 16] + "ACGT"[i // 4 % 4] + "ACGT"[i % 4]
            assert row[i] == sum(text[j : j + 3] == word for j in range(6))


# ---- training and measures ---------------------------------------------------------------------


def test_the_same_seed_the_same_network_and_no_global_seed(generated):
    data, _, split, trained = generated
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    again = train(one_hot(data.sequences), data.labels, split, seed=1)
    assert (torch.random.get_rng_state() == state).all() and again.history.equals(trained.history)
    other = train(one_hot(data.sequences), data.labels, split, seed=2, schedule=Schedule(epochs=2))
    assert not other.history.equals(trained.history.head(2)) and len(other.history) == 2


def test_early_stopping_keeps_the_best_epoch(generated):
    data, _, split, _ = generated
    X = one_hot(data.sequences)
    labels = np.random.default_rng(0).permutation(data.labels)  # nothing to learn: the validation loss soon rises
    stopped = train(X, labels, split, seed=1, schedule=Schedule(patience=2, epochs=40))
    losses = stopped.history["validation_loss"].to_numpy()
    assert len(losses) < 40 and stopped.kept_epoch == losses.argmin() + 1 == len(losses) - 2
    p = probabilities(predict_log_odds(stopped.model, X[split.validation]))
    y = labels[split.validation]
    assert -np.mean(np.where(y == 1, np.log(p), np.log(1 - p))) == pytest.approx(losses.min(), rel=1e-4)


def test_measures(generated):
    data, _, split, trained = generated
    y = data.labels[split.test]
    p = probabilities(predict_log_odds(trained.model, one_hot([data.sequences[i] for i in split.test])))
    m = evaluate(y, p)
    pairs = (p[y == 1][:, None] > p[y == 0]).mean() + 0.5 * (p[y == 1][:, None] == p[y == 0]).mean()
    assert m["auc"] == pytest.approx(pairs) and m["auc"] > 0.99 and m["brier"] == pytest.approx(np.mean((p - y) ** 2))
    assert m["tp"] + m["fn"] == y.sum() and m["accuracy"] == (m["tp"] + m["tn"]) / len(y)
    for wrong in ((p > 0.5).astype(float), p * 3):
        with pytest.raises(InputError, match="probabilities"):
            evaluate(y, wrong)


def test_networks_of_the_shared_sequences(real):
    "Architecture 1 as published (mean of 10 seeds), our network, and the baseline beside them."
    split, X = split_data(2000), one_hot(real.sequences)
    y = real.labels[split.test]
    found = {}
    for name, n in (("document_1", 10), ("small", 3)):
        p = [probabilities(predict_log_odds(train(X, real.labels, split, name, 42 + s).model, X[split.test])) for s in range(n)]
        found[name] = np.mean([roc_auc_score(y, q) for q in p]), np.mean([average_precision_score(y, q) for q in p])
    base = baseline_probabilities(real, split)
    print(found, roc_auc_score(y, base), average_precision_score(y, base))
    assert abs(found["document_1"][0] - 0.9972) < 0.003 and abs(found["document_1"][1] - 0.9969) < 0.003
    assert min(found["small"]) >= 0.999 and roc_auc_score(y, base) > 0.999


# ---- explanations ------------------------------------------------------------------------------


def test_attributions_lie_on_the_planted_word(generated):
    data, starts, split, trained = generated
    rows = split.test[data.labels[split.test] == 1][:60]
    X = one_hot([data.sequences[i] for i in rows])
    at = np.arange(50)
    inside = (at >= starts[rows][:, None]) & (at < starts[rows][:, None] + len(WORD))
    deep, mutated = attribute(trained.model, X), attribute(trained.model, X, "mutagenesis")
    assert (np.abs(deep).sum(axis=1) * inside).sum() / np.abs(deep).sum() >= 0.85
    alike = [np.corrcoef(a.sum(axis=0), b.sum(axis=0))[0, 1] for a, b in zip(deep, mutated)]
    assert np.median(alike) >= 0.95
    seqlets = find_seqlets(deep)
    first = seqlets.groupby("example").first()
    overlap = np.minimum(first["end"], starts[rows][first.index] + 12) - np.maximum(first["start"], starts[rows][first.index])
    assert len(first) > 50 and (overlap > 6).mean() > 0.9
    assert WORD[1:11] in "".join("ACGT"[i] for i in average_seqlet(X, seqlets).argmax(axis=0))


def meme_text(motifs):
    parts = [
        f"MOTIF {n}\nletter-probability matrix: alength= 4 w= {m.shape[1]}\n" + "\n".join(" ".join(map(str, c)) for c in m.T)
        for n, m in motifs.items()
    ]
    return "MEME version 4\n\n" + "\n\n".join(parts) + "\n"


def test_names_of_seqlets_are_tangermemes_but_for_the_promised_minus_one(tmp_path):
    theirs = pytest.importorskip("tangermeme.annotate", reason="make test-sequence installs it").annotate_seqlets
    rng = np.random.default_rng(4)
    motifs = {f"M{k}": 0.9 * one_hot(random_sequences(1, int(rng.integers(7, 13)), rng))[0] + 0.025 for k in range(60)}
    words = ["".join("ACGT"[i] for i in m.argmax(axis=0)) for m in motifs.values()]
    X = one_hot([plant(t, words[i], 20) if i < 20 else t for i, t in enumerate(random_sequences(40, 50, rng))])
    seqlets = pd.DataFrame({"example": np.arange(40), "start": 20, "end": [20 + len(words[i]) if i < 20 else 28 for i in range(40)]})
    every, p_values = annotate_seqlets(X, seqlets, motifs, n_nearest=2)
    their_index, their_p = (t.numpy() for t in theirs(torch.as_tensor(X, dtype=torch.float64), seqlets, motifs, n_nearest=2, n_jobs=1))
    assert every.shape == p_values.shape == (40, 2) and np.allclose(p_values, their_p) and (their_index >= 0).all()
    assert (every == their_index).all()
    index, _ = annotate_seqlets(X, seqlets, motifs, n_nearest=2, alpha=0.05)
    assert (index == np.where(their_p * 60 <= 0.05, their_index, NO_MOTIF)).all()
    assert (index[:20, 0] == np.arange(20)).mean() >= 0.9 and (index[20:] == NO_MOTIF).mean() > 0.9
    (tmp_path / "known.meme").write_text(meme_text(motifs))
    again = annotate_seqlets(X, seqlets, tmp_path / "known.meme", n_nearest=2)
    assert (again[0] == every).all() and np.allclose(again[1], p_values)


def test_a_seqlet_without_a_name_is_no_index():
    rng = np.random.default_rng(4)
    motifs = {f"M{k}": 0.9 * one_hot(random_sequences(1, 10, rng))[0] + 0.025 for k in range(40)}
    X = one_hot(["".join("ACGT"[i] for i in motifs["M3"].argmax(axis=0)), "ATATATATAT"])
    seqlets, names = pd.DataFrame({"example": [0, 1], "start": 0, "end": 10}), list(motifs)
    index, _ = annotate_seqlets(X, seqlets, motifs, alpha=0.05)
    assert index[0, 0] == 3 and index[1, 0] < 0
    for use in (lambda: names[index[1, 0]], lambda: np.array(names)[index[:, 0]], lambda: pd.Series(names).iloc[index[:, 0]]):
        with pytest.raises(IndexError):
            use()
    for shape in (None, (2, 40)):
        with pytest.raises(InputError, match="row 1: take out rows without a motif"):
            count_annotations((seqlets["example"], index[:, 0]), shape=shape)


def test_tomtoms_own_arguments_go_through():
    theirs = pytest.importorskip("tangermeme.annotate", reason="make test-sequence installs it").annotate_seqlets
    rng = np.random.default_rng(5)
    motifs = {f"M{k}": rng.dirichlet([0.3] * 4, int(rng.integers(6, 12))).T for k in range(60)}
    X = one_hot(random_sequences(10, 30, rng))
    seqlets = pd.DataFrame({"example": np.arange(10), "start": 5, "end": 15})
    usual, _ = annotate_seqlets(X, seqlets, motifs, n_nearest=3)
    for how in (
        dict(reverse_complement=False),
        dict(n_target_bins=None),
        dict(n_score_bins=20, n_median_bins=50, n_cache=5),
        dict(n_jobs=9),
    ):
        index, p_values = annotate_seqlets(X, seqlets, motifs, n_nearest=3, tomtom=Tomtom(**how))
        wanted = theirs(torch.as_tensor(X, dtype=torch.float64), seqlets, motifs, n_nearest=3, **how)
        assert (index == wanted[0].numpy()).all() and np.allclose(p_values, wanted[1].numpy())
    assert (annotate_seqlets(X, seqlets, motifs, n_nearest=3, tomtom=Tomtom(reverse_complement=False))[0] != usual).any()


def test_seqlets_keep_their_p_value_and_take_flanks():
    from tangermeme.seqlet import recursive_seqlets

    rng = np.random.default_rng(6)
    weights = rng.normal(0, 0.05, (6, 200))
    weights[:, 50:58] += 1.0
    X = one_hot(random_sequences(6, 200, rng))
    for flanks in (0, 5):
        ours = find_seqlets(X * weights[:, None], additional_flanks=flanks)
        theirs = recursive_seqlets(weights, additional_flanks=flanks)
        theirs.columns = ["example", "start", "end", "attribution", "p-value"]
        key = ["example", "start", "end"]
        both = ours.merge(theirs.astype({k: int for k in key}), on=key, suffixes=("", " theirs"))
        assert len(both) == len(ours) == len(theirs) >= 6 and np.allclose(both["p-value"], both["p-value theirs"])
    for wrong in (weights, weights[0], (X * weights[:, None])[0], np.zeros((2, 5, 9))):
        with pytest.raises(InputError, match=r"attributions have the shape .*\(n, 4, length\) is needed"):
            find_seqlets(wrong)


def test_shuffles_and_device_of_attributions(generated):
    data, _, split, trained = generated
    X = one_hot([data.sequences[i] for i in split.test[:5]])
    few, many = (attribute(trained.model, X, n_shuffles=n) for n in (2, 20))
    assert np.array_equal(many, attribute(trained.model, X)) and not np.allclose(few, many)
    for method in ("deeplift", "mutagenesis", "occlusion"):
        with pytest.raises(InputError, match="device 'nowhere' cannot be used here"):
            attribute(trained.model, X, method, device="nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda'"):
            attribute(trained.model, X, device="cuda")


def test_a_seqlet_has_the_name_of_the_longer_of_two_motifs_that_match():
    rng = np.random.default_rng(0)
    X = one_hot([plant(t, WORD, 20) if i < 20 else plant(t, "AT" * 6, 20) for i, t in enumerate(random_sequences(30, 50, rng))])
    known = {f"M{k}": 0.9 * one_hot(random_sequences(1, 10, rng))[0] + 0.025 for k in range(100)}
    known |= {"short": 0.997 * one_hot([WORD[4:10]])[0] + 0.00075, "long": 0.7 * one_hot([WORD])[0] + 0.075}
    seqlets = pd.DataFrame({"example": np.arange(30), "start": 20, "end": 32})
    assert (match_motifs([X[0][:, 20:32]], known)["motif_name"] == "short").idxmax() == 0  # the trap: by p-value the short one is first
    assert name_seqlets(X, seqlets, known)["motif_name"].tolist() == ["long"] * 20 + ["no known motif"] * 10


def test_the_word_of_a_motif():
    even = np.full((4, 2), 0.25)
    motif = np.hstack([even, one_hot(["GAT"])[0], even[:, :1], one_hot(["C"])[0], even])
    assert (learned_word(motif), learned_word(even), learned_word(None)) == ("GATnC", "–", "–")


def test_any_module_and_any_output_can_be_explained():
    "A linear module, whose attributions are known: each letter contributes its weight."
    rng = np.random.default_rng(0)
    weights = torch.as_tensor(rng.normal(size=(3, 4 * 20)), dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(80, 3, bias=False))
    model[1].weight.data = weights
    X = one_hot(random_sequences(5, 20, rng))
    for target in range(3):
        W = weights[target].reshape(4, 20).double().numpy()
        assert np.allclose(occlusion(model, X, target), X * W, atol=1e-5)
        centred = X * (W - W.mean(axis=0))  # against the mean of the four letters
        assert np.allclose(attribute(model, X, "mutagenesis", target), centred, atol=1e-5)
    windows = np.array([[(X[0] * W)[:, max(0, i - 2) : i + 3].sum() for i in range(20)]])
    assert windows.shape == (1, 20) and occlusion(model, X[:1], 2, width=20).sum() == pytest.approx(20 * (X[0] * W).sum(), rel=1e-4)
    with pytest.raises(InputError, match="deeplift, mutagenesis or occlusion"):
        attribute(model, X, "gradient")


# ---- the model on disk and as a predictor ------------------------------------------------------


def test_a_model_comes_back_from_disk(tmp_path, generated):
    data, _, _, trained = generated
    X = one_hot(data.sequences[:50])
    save_model(trained.model, "small", 50, tmp_path, seed=1)
    model, facts = load_model(tmp_path)
    assert (predict_log_odds(model, X) == predict_log_odds(trained.model, X)).all() and facts["seed"] == 1
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="holds no model"):
            load_model(folder)
    (tmp_path / "model.json").unlink()
    os.mkfifo(tmp_path / "model.json")
    with pytest.raises(InputError, match="holds no model.*model.json is no regular file"):
        load_model(tmp_path)


def test_promoters_scored_by_a_stored_network(tmp_path, generated):
    trained, rng = generated[3], np.random.default_rng(2)
    texts = random_sequences(30, 120, rng)
    texts = {f"G{i:02}": plant(t, WORD, 50) if i < 15 else t for i, t in enumerate(texts)}
    values = predicted_binding(trained.model, 50, texts)
    turned = {g: t[::-1].translate(str.maketrans("ACGT", "TGCA")) for g, t in texts.items()}
    assert np.allclose(values, predicted_binding(trained.model, 50, turned), atol=1e-5)
    assert roc_auc_score(np.arange(30) < 15, values) > 0.9
    save_model(trained.model, "small", 50, tmp_path)
    (tmp_path / "p.fa").write_text("".join(f">{g}\n{t}\n" for g, t in texts.items()))
    pd.DataFrame({"A": range(30)}, index=pd.Index(texts, name="gene")).to_csv(tmp_path / "old.csv")
    command = ["tfbs_scores", "--model", str(tmp_path), "--sequences", str(tmp_path / "p.fa"), "--predictors", str(tmp_path / "old.csv")]
    assert main([*command, "--name", "SPI1", "--output", str(tmp_path / "new.csv"), "--n_cpus", "1"]) == 0
    table = read_table(tmp_path / "new.csv")
    assert list(table.columns) == ["A", "SPI1"] and np.allclose(table["SPI1"], values, atol=1e-5)
    assert main([*command, "--name", "A", "--output", str(tmp_path / "x.csv")]) == 2 and not (tmp_path / "x.csv").exists()


# ---- the command -------------------------------------------------------------------------------


def test_the_command_writes_a_whole_directory(tmp_path, capsys):
    data, _ = planted_words(600)
    known = {f"other{k}": 0.9 * one_hot(random_sequences(1, 10, np.random.default_rng(k)))[0] + 0.025 for k in range(30)}
    known["planted"] = 0.9 * one_hot([WORD])[0] + 0.025
    (tmp_path / "known.meme").write_text(meme_text(known))
    command = write(tmp_path, data, header=True)
    assert main(command) == 2 and not (tmp_path / "net").exists()
    assert "--labels_header" in capsys.readouterr().err
    command += ["--labels_header", "--n_seeds", "2", "--motifs", str(tmp_path / "known.meme")]
    assert main(command) == 0
    said, folder = capsys.readouterr().out, tmp_path / "net"
    assert "mean of 2 seeds" in said and "report.html" in said
    names = "metrics.json model.json model.safetensors predictions.csv history.csv seqlets.csv matches.csv learned.meme run.json report.html report.ipynb tfbs.log"
    assert {p.name for p in folder.iterdir()} == {*names.split(), "figures"}
    metrics = json.loads((folder / "metrics.json").read_text())
    table = pd.read_csv(folder / "predictions.csv")
    assert metrics["seeds"][0]["seed"] == 42 and metrics["mean"]["auc"] == pytest.approx(np.mean([s["auc"] for s in metrics["seeds"]]))
    kept = next(s for s in metrics["seeds"] if s["seed"] == metrics["kept_seed"])
    assert kept["auc"] == pytest.approx(roc_auc_score(table["label"], table["probability"]))
    assert metrics["baseline"]["auprc"] == pytest.approx(average_precision_score(table["label"], table["baseline_probability"]))
    assert (table["label"].to_numpy() == data.labels[table["sequence"] - 1]).all() and len(table) == 150
    assert pd.read_csv(folder / "matches.csv")["motif_name"].iloc[0] == "planted"
    model, facts = load_model(folder)
    again = probabilities(predict_log_odds(model, one_hot([data.sequences[i - 1] for i in table["sequence"]])))
    assert np.allclose(again, table["probability"], atol=1e-6) and facts["seed"] == metrics["kept_seed"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    ahead = kept["auc"] - metrics["baseline"]["auc"]
    verdict = "better than" if ahead > 0.001 else "no better than" if ahead > -0.001 else "worse than"
    assert f"AUC {kept['auc']:.4f} on 150 test sequences, {verdict} counts of 4-letter words" in page
    assert (
        all(words in page for words in ("801 parameters", "AUPRC", "It looks at ", "which matches planted (E = "))
        and page.count("<figure") >= 6
    )
    assert str(tmp_path) not in json.dumps(metrics) and not re.search(r"""(src|href)=["']?https?:""", page)
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
