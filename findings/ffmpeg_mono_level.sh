#!/usr/bin/env bash
# av 18.1.0 (FFmpeg 8.1.2), imageio-ffmpeg 0.6.0 (FFmpeg 7.0.2), soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: a stereo recording whose channels are equal gives that same wave when FFmpeg makes it
# mono, whatever the format of samples.
# Seen: that holds where the output is integers (s16; WAV, FLAC). Where it is floats (f32le, fltp in PyAV, Ogg Vorbis;
# MP3 too, if it is made of MP3, AAC or Opus) it is 3 dB louder: each channel counts 0.71, not 0.5, so that the sum may
# exceed 1. FFmpeg keeps the sum below 1 for integers alone (its option rematrix_maxval).
# A voice that peaks at -1 dBFS comes out at +2, and what is written as Ogg, MP3 or 16 bits is clipped, for good.
# Who is hurt: whoever makes corpora mono with `ffmpeg -ac 1` or AudioResampler(layout="mono"): levels depend on
# whether a file was mono before and on the format that it was written in, which the encoder may learn instead of the
# speaker; loud recordings are distorted, and two pipelines, one by s16 and one by floats, disagree.
# What to do: mean of the channels in numpy; or on the command line -af "pan=mono|c0=0.5*c0+0.5*c1".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.6.0 soundfile==0.14.0 \
  numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg
import numpy as np
import soundfile

SECONDS, PEAK = 10, 10 ** (-1 / 20)
generator = np.random.default_rng(0)
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", "stereo.flac"]


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
    return 0.1 * wave / wave.std() + 1e-3 * generator.standard_normal(len(wave))


def by_pyav(sample_format: str) -> np.ndarray:
    resampler = av.AudioResampler(format=sample_format, layout="mono", rate=16_000)
    with av.open("stereo.flac") as container:
        frames = [made for frame in [*container.decode(audio=0), None] for made in resampler.resample(frame)]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return samples / 32768 if sample_format == "s16" else samples


def by_command(name: str, *options: str) -> np.ndarray:
    subprocess.run([*ffmpeg, *options, "-ar", "16000", name], check=True)
    return soundfile.read(name)[0]


wave = voice(44_100)
wave *= PEAK / np.abs(wave).max()
soundfile.write("stereo.flac", np.stack([wave, wave], axis=1), 44_100)
mono = ("-ac", "1")
made = {
    "PyAV, s16": by_pyav("s16"),
    "PyAV, fltp": by_pyav("fltp"),
    "ffmpeg, WAV": by_command("a.wav", *mono),
    "ffmpeg, FLAC": by_command("a.flac", *mono),
    "ffmpeg, WAV of floats": by_command("b.wav", *mono, "-c:a", "pcm_f32le"),
    "ffmpeg, Ogg": by_command("a.ogg", *mono),
    "ffmpeg, pan, Ogg": by_command("b.ogg", "-af", "pan=mono|c0=0.5*c0+0.5*c1"),
}
level = np.sqrt(np.mean(wave**2))
louder = {name: 20 * np.log10(np.sqrt(np.mean(samples**2)) / level) for name, samples in made.items()}
for name, samples in made.items():
    over = np.sum(np.abs(samples) > 1)
    print(f"{name}: {louder[name]:+.1f} dB, peak {np.abs(samples).max():.2f}, {over} samples above 1")
integers = ("PyAV, s16", "ffmpeg, WAV", "ffmpeg, FLAC", "ffmpeg, pan, Ogg")
ok = all(abs(louder[name]) < 0.3 if name in integers else 2.7 < louder[name] < 3.3 for name in made)
sys.exit(0 if ok else "the behavior has changed: mono is as loud in floats as in integers")
PYTHON
