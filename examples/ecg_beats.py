"""Train a small network on stretches of an electrocardiogram, for `everywindow scan` to find beats in the rest.

    python examples/ecg_beats.py mitdb/100 --out ecg-beats
    everywindow scan mitdb/100.hea --model ecg-beats/bundle --stride 8 --out beats.zarr

The record is number 100 of the MIT-BIH arrhythmia database: 30 minutes of two leads at 360 Hz. A window of 512 samples
(1.4 s, so that the beat before is in it) is "normal" or "premature" where such a beat (N, A) lies in its middle, give
or take 8 samples, and "none" where no beat is within 60 samples of its middle; windows between have no class.

These labels are cardiologists' own, and no weak ones; but learned is from the first 5 minutes, in which only 4 beats
are premature, and tried on the other 25 of the same person: what is found says little of other people. As in the
record, nearly all beats are normal, so look at the share of each class that is found.

Values are millivolts, as a scan takes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import wfdb
from small_networks import Found, crops, drawn, fit, held_out, network

import everywindow as ew

WINDOW = (512,)
CLASSES = ("none", "normal", "premature")
SYMBOLS = {"N": 1, "A": 2}
MEAN, STD = (-0.31, -0.19), (0.19, 0.15)
NEAR, FAR = 8, 60
"""Samples from a beat up to which, and from which on, a window's middle has a class."""

SECONDS = 300


def read(record: Path) -> tuple[np.ndarray, np.ndarray, list[str], float]:
    """Samples ``[N, 2]`` in millivolts, where the beats are, what they are, and samples per second."""
    signal = wfdb.rdrecord(str(record))
    notes = wfdb.rdann(str(record), "atr")
    beats = [n for n, symbol in enumerate(notes.symbol) if symbol != "+"]
    return signal.p_signal.astype(np.float32), notes.sample[beats], [notes.symbol[n] for n in beats], float(signal.fs)


def labels_of(length: int, beats: np.ndarray, symbols: list[str]) -> np.ndarray:
    """The class of the window around each sample, or −1."""
    labels = np.zeros(length, np.int8)
    for beat in beats:
        labels[max(beat - FAR, 0) : beat + FAR + 1] = -1
    for beat, symbol in zip(beats, symbols, strict=True):
        labels[max(beat - NEAR, 0) : beat + NEAR + 1] = SYMBOLS.get(symbol, -1)
    return labels


def run(record: Path, out: Path, seed: int = 0, steps: int = 300) -> Found:
    """Train on the first minutes, write the bundle, and give how well it does on the others.

    Tried are the windows with a beat exactly in their middle, and as many without one.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    signal, beats, symbols, rate = read(record)
    labels = labels_of(len(signal), beats, symbols)
    clf = ew.Classifier(network(WINDOW, 2, len(CLASSES)), WINDOW, mean=MEAN, std=STD, classes=CLASSES)
    half, cut = WINDOW[0] // 2, int(SECONDS * rate)
    centres = np.flatnonzero(labels[: cut - half] >= 0)[:, None]
    centres = drawn(centres[centres[:, 0] >= half], labels, 4000, rng)
    fit(clf, crops(signal, centres, WINDOW), torch.from_numpy(labels[centres[:, 0]]).long(), steps)
    clf.save(out / "bundle")
    later = beats[(beats >= cut + half) & (beats < len(signal) - half) & (labels[beats] >= 0)]
    empty = np.flatnonzero(labels == 0)
    empty = rng.permutation(empty[(empty >= cut + half) & (empty < len(signal) - half)])[: len(later)]
    tried = np.concatenate([later, empty])[:, None]
    return held_out(clf, crops(signal, tried, WINDOW), torch.from_numpy(labels[tried[:, 0]]).long())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("record", type=Path, help="record 100, without a suffix")
    parser.add_argument("--out", type=Path, default=Path("ecg-beats"), help="folder for the bundle")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(run(given.record, given.out, given.seed))


if __name__ == "__main__":
    main()
