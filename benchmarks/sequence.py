"""The sequence side, all measured now on this machine: sparse counting against tangermeme's dense functions, and scanning promoters with motifs."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tfbpmodeling.known_truth.simulation import random_sequences
from tfbpmodeling.sequence import annotations as ours
from tfbpmodeling.sequence.motifs import find_hits, motif_scores, one_hot, read_motifs

FUNGI = Path(__file__).resolve().parents[2] / "shared" / "data" / "motifs" / "jaspar2024_fungi.meme"
N_MOTIFS = 2000
MEMORY = Path("/proc/self/clear_refs")  # Linux: writing 5 forgets the peak


# --- problems


def generated_annotations(n: int, seed: int = 0) -> np.ndarray:
    "(n, 4): example, annotation, start, end. Ten of 2,000 motifs in each example, apart, 0 to 90 bp between neighbours."
    rng = np.random.default_rng(seed)
    widths, gaps = rng.integers(6, 21, (n // 10, 10)), rng.integers(0, 91, (n // 10, 10))
    ends = np.cumsum(widths + gaps, axis=1)
    example = np.repeat(np.arange(n // 10), 10)
    return np.column_stack([example, rng.integers(0, N_MOTIFS, n), (ends - widths).ravel(), ends.ravel()])


def known_motifs(n: int = 178) -> dict[str, np.ndarray]:
    "JASPAR's motifs of fungi where the shared folder is, else as many generated ones."
    if FUNGI.is_file():
        return read_motifs(FUNGI)
    rng = np.random.default_rng(0)
    return {f"M{k}": rng.dirichlet([0.3] * 4, size=int(rng.integers(6, 21))).T for k in range(n)}


# --- counting


def our_count(rows: np.ndarray, what: str, max_distance: int) -> Callable:
    return {
        "counts": lambda: ours.count_annotations(rows[:, :2], shape=(len(rows) // 10, N_MOTIFS)),
        "pairs": lambda: ours.pairwise_annotations(rows[:, :2], shape=N_MOTIFS),
        "spacing": lambda: ours.pairwise_annotations_spacing(rows, max_distance, shape=N_MOTIFS),
    }[what]


def their_count(rows: np.ndarray, what: str, max_distance: int) -> Callable:
    import torch
    from tangermeme import annotate as theirs

    X = torch.from_numpy(rows)
    return {
        "counts": lambda: theirs.count_annotations(X[:, :2], dtype=torch.int64, shape=(len(rows) // 10, N_MOTIFS)),
        "pairs": lambda: theirs.pairwise_annotations(X[:, :2], shape=N_MOTIFS),
        "spacing": lambda: theirs.pairwise_annotations_spacing(X, max_distance, shape=N_MOTIFS),  # bytes, its default
    }[what]


def count_alone(whose: Callable, what: str, n: int, max_distance: int, repeats: int) -> tuple[float, float, list]:
    "Seconds, megabytes, and what was counted; to be called in a process of its own."
    whose(generated_annotations(20), what, 1)()  # load
    count = whose(generated_annotations(n), what, max_distance)
    megabytes, first, result = peak_rise(count)
    seconds = first if first > 5 else measured(count, repeats)[0]
    return seconds, megabytes, nonzero(result)


def nonzero(result) -> list[np.ndarray]:
    "Coordinates and values of what is not zero, in order."
    if hasattr(result, "numpy"):
        places = np.nonzero(result.numpy())
        return [*places, result.numpy()[places].astype(np.int64)]
    table = result.tocoo()
    order = np.lexsort(table.coords[::-1])
    return [*(c[order] for c in table.coords), table.data[order]]


def compare_counting(sizes: tuple[int, ...], max_distance: int, repeats: int) -> None:
    print(f"\nCounting {N_MOTIFS} motifs, ten annotations in each example, distances below {max_distance} bp; one thread.\n")
    print("| annotations | function | s | s, tangermeme | times faster | MB | MB, tangermeme | times less | equal |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---|")
    for n in sizes:
        for what in ("counts", "pairs", "spacing"):
            (s, mb, found), (their_s, their_mb, theirs) = (
                alone(count_alone, f, what, n, max_distance, repeats) for f in (our_count, their_count)
            )
            same = "yes" if all(np.array_equal(a, b) for a, b in zip(found, theirs)) else "NO"
            cells = [s, their_s, their_s / s, mb, their_mb, their_mb / mb]
            print(f"| {n} | {what} | {' | '.join(f'{v:.3g}' for v in cells)} | {same} |", flush=True)


# --- scanning


def scan_rows(repeats: int, n: int, length: int) -> None:
    "Wall and processor time of each way to scan promoters."
    motifs = known_motifs()
    texts = random_sequences(n, length, np.random.default_rng(0), gc=0.38)
    windows = 2 * n * sum(length - m.shape[1] + 1 for m in motifs.values())
    print(f"\nScanning {n} × {length} bp with {len(motifs)} motifs on both strands ({windows / 1e9:.2f} billion windows).\n")
    print("| what | wall s | CPU s | million windows per wall s |\n|---|---:|---:|---:|")
    ways = {f"{score}, {cpus} thread{'s'[: cpus - 1]}": partial(motif_scores, texts, motifs, score, n_cpus=cpus) for score in ("logsumexp", "max") for cpus in (1, 2)}  # fmt: skip
    if find_spec("memelite"):
        from memelite import fimo

        ways |= {"hits at p < 0.0001 with exact p-values": partial(find_hits, texts, motifs, background="uniform")}
        ways |= {"memelite's FIMO alone": partial(fimo, motifs, one_hot(texts))}
    for what, scan in ways.items():
        scan()  # compile
        start = time.process_time()
        seconds, _ = measured(scan, repeats)
        cpu = (time.process_time() - start) / repeats
        print(f"| {what} | {seconds:.3g} | {cpu:.3g} | {windows / seconds / 1e6:.3g} |", flush=True)


# --- measuring


def measured(call: Callable, repeats: int) -> tuple[float, object]:
    "Median wall time in seconds, and the last result."
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def peak_rise(call: Callable) -> tuple[float, float, object]:
    "Megabytes by which the peak memory of this process rises in a call (Linux; else NaN), seconds, result."
    if MEMORY.exists():
        MEMORY.write_text("5")
    before, start = memory("VmRSS"), time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return max(memory("VmHWM") - before, 0.1), seconds, result


def memory(line: str) -> float:
    "A line of /proc/self/status in megabytes."
    status = MEMORY.with_name("status")
    if not status.exists():
        return float("nan")
    return next(int(text.split()[1]) for text in status.read_text().splitlines() if text.startswith(line)) / 1024


def alone(task: Callable, *args):
    "The result of a task in a process of its own."
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *args).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="calls; their median counts")
    parser.add_argument("--quick", action="store_true", help="small cases only")
    given = parser.parse_args()
    start = time.perf_counter()
    scan_rows(given.repeats, *((600, 200) if given.quick else (6000, 800)))
    if find_spec("tangermeme"):
        compare_counting(*(((500,), 50) if given.quick else ((5000, 50_000), 800)), given.repeats)
    else:
        print(
            "\nCounting against tangermeme is left out: it is not installed (make .venv/installed-sequence, or pip install 'tfbpmodeling[sequence]')"
        )
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
