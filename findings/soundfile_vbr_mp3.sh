#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2), mutagen 1.48.1, lameenc 1.9.0, av 18.1.0, numpy 2.4.6
#
# Guess, written down before: soundfile reads an MP3 of variable bit rate to its end, whether or not its first frame
# states how long it is, and sf.info tells as many frames as it reads.
# Seen: without a statement (the Xing frame) of 30 s at 44.1 kHz it reads 12 to 14 s, at 16 kHz 22 to 25 s, and says
# nothing. The length is estimated from the first frame's bit rate, and reading stops there; sf.info and mutagen give the
# same wrong length, so comparing them finds nothing. At a constant bit rate nothing is lost, but 10 minutes at 44.1 kHz
# are announced 3 s too long.
# Who is hurt: whoever reads MP3 that was written as a stream (by lameenc, by a recorder that cannot seek back, or cut from
# a broadcast) with soundfile, or librosa, which uses it: up to 60 % of each recording is missing, segments that lie
# there come out empty, and durations by speaker are wrong.
# What to do: decode with FFmpeg (PyAV) or count frames; or rewrite such files once: ffmpeg -i a.mp3 -c copy b.mp3 adds
# the frame.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 mutagen==1.48.1 lameenc==1.9.0 \
  av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import lameenc
import mutagen
import numpy as np
import soundfile

SECONDS = 30
generator = np.random.default_rng(0)


def voice(rate: int) -> np.ndarray:
    """A buzz through three formants that comes and goes three times a second, over faint noise."""
    time = np.arange(SECONDS * rate) / rate
    phase = np.cumsum(200 * (1 + 0.3 * np.sin(4 * np.pi * time))) / rate
    pulses = np.diff(np.floor(phase), prepend=0.0)
    lengths = np.arange(rate // 10) / rate
    formants = ((600, 80, 1.0), (1400, 100, 0.5), (2600, 150, 0.3))
    ring = sum(a * np.exp(-np.pi * width * lengths) * np.sin(2 * np.pi * f * lengths) for f, width, a in formants)
    size = 1 << (len(pulses) + len(ring)).bit_length()
    wave = np.fft.irfft(np.fft.rfft(pulses, size) * np.fft.rfft(ring, size), size)[: len(pulses)]
    wave *= np.convolve(np.sin(6 * np.pi * time) > 0.3, np.ones(320) / 320, "same")
    return np.clip(0.1 * wave / wave.std() + 1e-3 * generator.standard_normal(len(wave)), -1, 1)


def encode(path: str, rate: int, quality: int | None) -> None:
    """Variable bit rate of a quality, or a constant one of 64 kbit/s."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_channels(1)
    if quality is None:
        encoder.set_bit_rate(64)
    else:
        encoder.set_vbr(4)
        encoder.set_vbr_quality(quality)
    pcm = (voice(rate) * 32767).astype("<i2").tobytes()
    with open(path, "wb") as file:
        file.write(bytes(encoder.encode(pcm)) + bytes(encoder.flush()))


ok = True
for rate in (16_000, 24_000, 44_100):
    for quality in (None, 2, 4):
        encode("a.mp3", rate, quality)
        read = len(soundfile.read("a.mp3")[0]) / rate
        told = soundfile.info("a.mp3").duration
        with av.open("a.mp3") as container:
            decoded = sum(frame.samples for frame in container.decode(audio=0)) / rate
        kind = "constant rate" if quality is None else f"variable, quality {quality}"
        print(f"{SECONDS} s at {rate} Hz, {kind}: soundfile reads {read:.1f} s, info says {told:.1f}, "
              f"mutagen {mutagen.File('a.mp3').info.length:.1f}, FFmpeg decodes {decoded:.1f}")
        ok &= decoded > SECONDS and (read > SECONDS if quality is None else read < 0.85 * SECONDS)
sys.exit(0 if ok else "the behavior has changed: files without a stated length are read to their end")
PYTHON
