#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2 in its wheel), numpy 2.4.6
#
# Guess, written down before: a GSM 6.10 WAV with an odd number of blocks, which soundfile reads one block too long, ends in
# silence or in a copy of what came before: harmless.
# Seen: the extra block (320 samples, 40 ms at 8 kHz) is made of the byte that pads the chunk, and of what was in the buffer. It
# is noise of up to four times the recording's peak. soundfile.info counts it. The fact chunk, which
# libsndfile itself wrote, has the right number. Half of all recordings have an odd number of blocks.
# Who is hurt: whoever embeds calls of telephone exchanges, which store GSM in WAV. Peak normalization makes the voice much too
# quiet, a trim by energy relative to the loudest frame cuts speech away, and durations are 40 ms too long.
# What to do: cut what soundfile returns to the number in the fact chunk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE, BLOCK = 8_000, 320
path = Path(sys.argv[1]) / "call.wav"
ratios = []
ok = True
for blocks in (24, 25, 26, 27, 49, 50, 53):
    time = np.arange(blocks * BLOCK) / RATE
    tone = np.sin(2 * np.pi * 200 * time + 30 * np.sin(2 * np.pi * 1.3 * time))
    breath = np.random.default_rng(1).standard_normal(len(time))
    sound = (0.15 * tone + 0.025 * breath) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))
    soundfile.write(path, sound, RATE, format="WAV", subtype="GSM610")
    content = path.read_bytes()
    fact = content.index(b"fact")
    (counted,) = struct.unpack("<I", content[fact + 8 : fact + 12])
    read, _ = soundfile.read(path)
    peak, extra = np.abs(read[:counted]).max(), read[counted:]
    noise = np.abs(extra).max(initial=0)
    print(f"{blocks} blocks: written {len(sound)}, fact {counted}, read {len(read)}, "
          f"peak {peak:.2f}, of the extra block {noise:.2f}")
    odd = blocks % 2 == 1
    ok &= counted == len(sound) and len(extra) == (BLOCK if odd else 0)
    if odd:
        ratios.append(noise / peak)
print("extra block's peak over the recording's:", ", ".join(f"{ratio:.1f}" for ratio in ratios))
sys.exit(0 if ok and max(ratios) > 2 else "the behavior has changed: the extra block is gone, or quiet")
PYTHON
