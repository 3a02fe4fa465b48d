#!/usr/bin/env bash
# kaldi_native_fbank 1.23.0, numpy 2.4.6
#
# Guess, written down before: frames that were taken from an OnlineFbank with get_frame stay what they are after pop(), which
# discards the frames that are through so that a stream of hours does not fill the memory.
# Seen: each is right when it is taken, and once it is popped none of those that were collected is: what get_frame hands out is
# no copy but a view of the extractor's memory (its docstring says that the extractor owns the buffer), and pop gives
# that memory back for the frames to come. With 10 ms at a time all 398 frames of 4 s are one and the same frame, the last; with
# 100 ms they are a few later frames over and over, with garbage at some places. Nothing raises, shapes and, mostly, ranges are
# right, and the mean of the frames is still near (cosine 0.99), so that a vector comes out that looks like one. Without
# pop all stay right, so that a test with a file finds nothing.
# Who is hurt: whoever embeds a stream from a microphone or a call: windows of 1.5 or 3 s are collected frame by frame, and the
# encoder gets a single frame repeated; who speaks is decided by that.
# What to do: get_frame(number).copy(), always; or pop only after a window has been stacked (np.stack copies).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check kaldi_native_fbank==1.23.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import kaldi_native_fbank
import numpy as np

RATE, SECONDS = 16_000, 4
generator = np.random.default_rng(0)
samples = generator.standard_normal(SECONDS * RATE).astype("float32")
options = kaldi_native_fbank.FbankOptions()
options.frame_opts.dither, options.frame_opts.samp_freq, options.mel_opts.num_bins = 0, RATE, 80
extractor = kaldi_native_fbank.OnlineFbank(options)
extractor.accept_waveform(RATE, samples.tolist())
whole = np.stack([extractor.get_frame(number) for number in range(extractor.num_frames_ready)])


def collect(milliseconds: int, pop: bool, copy: bool) -> tuple[int, np.ndarray]:
    """How many frames were right when they were taken, and what has become of them."""
    stream = kaldi_native_fbank.OnlineFbank(options)
    frames: list[np.ndarray] = []
    right, step = 0, RATE * milliseconds // 1000
    for start in range(0, len(samples), step):
        stream.accept_waveform(RATE, samples[start : start + step].tolist())
        before = len(frames)
        for number in range(before, stream.num_frames_ready):
            frame = stream.get_frame(number)
            right += np.array_equal(frame, whole[number])
            frames.append(frame.copy() if copy else frame)
        if pop:
            stream.pop(len(frames) - before)
    return right, np.stack(frames)


ok = True
for milliseconds in (10, 100):
    for pop, copy in ((True, False), (True, True), (False, False)):
        right, frames = collect(milliseconds, pop, copy)
        kept = int(np.all(frames == whole, axis=1).sum())
        different = len(np.unique(frames, axis=0))
        print(f"{milliseconds} ms at a time, {'pop' if pop else 'no pop'}{', copies' if copy else ''}: {right} of "
              f"{len(whole)} frames right when taken, {kept} in the end, {different} different ones")
        spoiled = pop and not copy
        ok &= right == len(whole) and (kept < len(whole) // 10 if spoiled else kept == len(whole))
sys.exit(0 if ok else "the behavior has changed: frames that were taken stay what they are")
PYTHON
