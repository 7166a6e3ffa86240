"""The two networks of the exercise, layer by layer, against a short copy of our own making; and what their published numbers are."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tfbpmodeling.config import InputError
from tfbpmodeling.sequence.motifs import one_hot
from tfbpmodeling.sequence.network import (
    ARCHITECTURES,
    build_model,
    evaluate,
    layer_table,
    predict_log_odds,
    probabilities,
    read_labelled,
    split_data,
    torch_threads,
    train,
)

torch = pytest.importorskip("torch", reason="make test-sequence installs it")
DOCUMENT = (Path(__file__).resolve().parents[1] / "data" / "document_networks.md").read_text(encoding="utf-8")
NAMES = ("document_1", "document_2")


def section(name: str) -> str:
    return re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)[1]


def written(name: str) -> list[tuple[str, ...]]:
    "The layers as the document lists them: layer, size, width, activation."
    rows = [tuple(cell.strip() for cell in line.strip("| \n").split("|")) for line in section(name).splitlines() if line.startswith("| ")]
    return rows[1:]


def built(model) -> list[tuple[str, ...]]:
    "The layers of a network in the same words. The last activation is part of the loss: logits come out."
    kinds, found, padded = torch.nn, [], ""
    for layer in model:
        if isinstance(layer, kinds.ConstantPad1d):
            assert sum(layer.padding) == 11 and layer.value == 0  # as long as it was, for a filter of 12
            padded = "padded "
        elif isinstance(layer, kinds.Conv1d):
            found.append([f"{padded}convolution", str(layer.out_channels), str(layer.kernel_size[0]), "none"])
        elif isinstance(layer, kinds.MaxPool1d):
            assert layer.stride == layer.kernel_size
            found.append(["maximum", "-", str(layer.kernel_size), "none"])
        elif isinstance(layer, kinds.Flatten):
            found.append(["flatten", "-", "-", "none"])
        elif isinstance(layer, kinds.Linear):
            found.append(["dense", str(layer.out_features), "-", "none"])
        elif isinstance(layer, kinds.Dropout):
            found.append(["dropout", f"{layer.p:g}", "-", "none"])
        elif isinstance(layer, kinds.ReLU):
            found[-1][3] = "relu"
        else:
            raise AssertionError(f"{layer} is in no document")
    found[-1][3] = "sigmoid" if found[-1][1] == "1" else "softmax"
    return [tuple(row) for row in found]


@pytest.mark.parametrize("name", NAMES)
def test_the_layers_are_those_of_the_document(name):
    assert len(written(name)) == {"document_1": 5, "document_2": 18}[name]
    assert built(build_model(name, 50)) == written(name)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_loss_and_schedule(name):
    parameters, loss, batch, epochs = re.search(r"parameters (\d+), loss (\w+), batches of (\d+), epochs (\d+)", section(name)).groups()
    recipe = ARCHITECTURES[name]
    assert layer_table(build_model(name, 50), 50)["parameters"].sum() == int(parameters)
    assert (recipe.loss, recipe.batch_size, recipe.epochs, recipe.glorot) == (loss, int(batch), int(epochs), True)


def test_published_numbers_of_the_second_network_are_hard_labels():
    "Five false positives, nothing missed, and areas of the two-valued prediction: such predictions are refused here."
    negative, positive = 259, 241
    labels = np.repeat([0, 1], [negative, positive])
    called = labels.copy()
    called[:5] = 1
    auc, auprc = (float(v) for v in re.search(r"hard labels.*: ([\d.]+), ([\d.]+)\.", DOCUMENT).groups())
    assert roc_auc_score(labels, called) == pytest.approx(auc, abs=5e-6)
    assert average_precision_score(labels, called) == pytest.approx(auprc, abs=5e-6)
    with pytest.raises(InputError, match="give probabilities"):
        evaluate(labels, called)


@pytest.mark.slow
def test_ten_seeds_of_the_second_network(shared):
    "docs/sequence.md has these numbers: at most two of ten stay at 0.5, the others end above 0.999."
    folder = shared / "data" / "sequences"
    data, split = read_labelled(folder / "sequences.txt", folder / "labels.txt", labels_header=True), split_data(2000)
    X, y = one_hot(data.sequences), data.labels[split.test]
    with torch_threads(1):
        p = [
            probabilities(predict_log_odds(train(X, data.labels, split, "document_2", seed).model, X[split.test])) for seed in range(42, 52)
        ]
    auc = np.array([roc_auc_score(y, q) for q in p])
    assert (np.abs(auc - 0.5) < 0.01).sum() <= 2 and (auc > 0.999).sum() >= 8, auc
