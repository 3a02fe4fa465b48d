#!/usr/bin/env bash
# voice-fingerprint 0.1.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, soundfile 0.14.0, soxr 1.1.0
#
# Guess, written down before: diarize(recognizer, file) says at what times of the file who speaks.
# Seen: it says so of what is left when pauses are cut out. The file is preprocessed as for enrolling, which drops what a
# detector of energy takes for silence, and the times count from there. Of a call of 12 turns of 10 s with pauses of 5 s the
# two speakers are told apart, but the last turn, at 165 to 175 s, is said to be at 113 to 124 s, turns follow each other
# without a pause, and for a third of the speech alone the right speaker is named. Nothing is said. assign_to_enrolled()
# and the command diarize do the same.
# Who is hurt: whoever cuts enrollments, transcripts or clones by these times: with every pause they fall further behind,
# and hold the other speaker or silence.
# What to do: PreprocessConfig(trim_silence=False), or --vad none; pauses become turns then, and a speaker more is needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 soundfile==0.14.0 soxr==1.1.0
"${pip[@]}" --no-deps voice-fingerprint==0.1.1 # its weights come from a hub, here a stand-in takes their place
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from itertools import permutations

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper
from voicefingerprint import Config, EncoderConfig, PreprocessConfig, VoiceRecognizer, diarize

RATE, TURN, PAUSE, TURNS = 16_000, 10, 5, 12
generator = np.random.default_rng(0)

# A stand-in with the encoder's inputs and outputs: how far each mel band rises above its mean, in random directions.
nodes = [
    helper.make_node("Sub", ["feats", "one"], ["above"]),
    helper.make_node("Relu", ["above"], ["peaks"]),
    helper.make_node("ReduceMean", ["peaks", "axis"], ["means"], keepdims=0),
    helper.make_node("MatMul", ["means", "directions"], ["embs"]),
]
inputs = helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["batch", "frames", 80])
outputs = helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["batch", 256])
constants = [
    numpy_helper.from_array(np.array([1]), "axis"),
    numpy_helper.from_array(np.float32(1), "one"),
    numpy_helper.from_array(generator.standard_normal((80, 256)).astype(np.float32), "directions"),
]
graph = helper.make_graph(nodes, "encoder", [inputs], [outputs], constants)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), "encoder.onnx")


def voice(speaker: int) -> np.ndarray:
    """Noise of a band of its own that goes up and down as syllables do."""
    count = TURN * RATE
    spectrum, hertz = np.fft.rfft(generator.standard_normal(count)), np.fft.rfftfreq(count, 1 / RATE)
    low, high = ((200, 800), (2000, 3500))[speaker]
    spectrum[(hertz < low) | (hertz > high)] = 0
    samples = np.fft.irfft(spectrum, count)
    return 0.1 * samples / samples.std() * (0.52 + 0.48 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE))


speakers = [turn % 2 for turn in range(TURNS)]
call = np.concatenate([np.pad(voice(speaker), (0, PAUSE * RATE)) for speaker in speakers])
soundfile.write("call.wav", call + 1e-3 * generator.standard_normal(len(call)), RATE)
times = np.arange(0, len(call) / RATE, 0.1)
truth = np.where(times % (TURN + PAUSE) < TURN, (times // (TURN + PAUSE)).astype(int) % 2, -1)


def right(preprocess: PreprocessConfig, count: int) -> tuple[float, float]:
    """The share of the speech for which the right speaker is named, and when the last turn ends."""
    config = Config(encoder=EncoderConfig(weights="encoder.onnx"), preprocess=preprocess)
    turns = diarize(VoiceRecognizer(config), "call.wav", n_speakers=count)
    said = np.full(len(times), "", dtype=object)
    for turn in turns:
        said[(times >= turn.start) & (times < turn.end)] = turn.speaker
    pairs = permutations(sorted({turn.speaker for turn in turns}), 2)
    agree = max(sum(((said == name) & (truth == number)).sum() for number, name in enumerate(pair)) for pair in pairs)
    return float(agree / (truth >= 0).sum()), turns[-1].end


print(f"a call of {len(call) / RATE:.0f} s; the last turn ends at {len(call) / RATE - PAUSE:.0f} s")
trimmed, end = right(PreprocessConfig(), 2)
print(f"as it comes: the right speaker for {trimmed:.0%} of the speech, the last turn ends at {end:.0f} s")
whole, whole_end = right(PreprocessConfig(trim_silence=False), 3)
print(f"trim_silence=False: {whole:.0%}, the last turn (of silence) ends at {whole_end:.0f} s")
ok = trimmed < 0.5 and end < 0.75 * (len(call) / RATE - PAUSE) and whole > 0.85
sys.exit(0 if ok else "the behavior has changed: times are those of the file")
PYTHON
