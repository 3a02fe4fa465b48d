#!/usr/bin/env bash
# npm: wavefile 11.0.0, audio-decode 3.12.0; PyPI: soundfile 0.14.0, numpy 2.4.6. Needs node.
#
# Guess, written down before: npm's readers of sound (wavefile, audio-decode, node-wav, wav-decoder) give the samples of every
# encoding that soundfile writes (8 to 32 bits, floats, A-law, mu-law; WAV, extensible WAV, RF64, AIFF, CAF), or raise.
# Seen: node-wav and wav-decoder do. Two hand out something else, in the right rate and length and without a word.
# wavefile: float32, A-law and mu-law in extensible WAV, which is what ffmpeg makes of every WAV of floats, and in RF64 are taken
# for integers: the bits of a float, or the codes, 6 to 7 dB too loud, with a correlation of 0.6 to 0.7 to the speech.
# Plain WAV of the same is right, and so are integers. getSamples() and toBitDepth() go by the number of bits alone.
# audio-decode: mu-law in CAF is 12 dB too soft, A-law 18 dB and turned over; AIFF of 8 bits is read as unsigned, so that silence
# is as loud as can be.
# Who is hurt: whoever enrolls or verifies voices in a browser or in node from uploaded files: the vector is one of distorted
# speech or noise, and tells rather how a file was written than who speaks.
# What to do: let the browser decode (decodeAudioData), or ffmpeg; with wavefile raise where fmt.audioFormat is 65534 and
# fmt.subformat[0] is not 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts wavefile@11.0.0 audio-decode@3.12.0
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import soundfile

time = np.arange(32_000) / 16_000
written = 0.6 * np.sin(2 * np.pi * 300 * time) * (1 + np.sin(2 * np.pi * 2 * time)) / 2
written.astype("<f8").tofile("written.f64")
for container in ("WAV", "WAVEX", "RF64", "AIFF", "CAF"):
    for encoding in ("PCM_16", "PCM_24", "FLOAT", "ALAW", "ULAW", "PCM_S8"):
        if soundfile.check_format(container, encoding):
            path = f"{container}-{encoding}.sound"
            soundfile.write(path, written, 16_000, format=container, subtype=encoding)
            assert np.abs(soundfile.read(path)[0] - written).max() < 0.02
PYTHON
cat > probe.mjs <<'NODE'
import fs from "node:fs";
import wavefile from "wavefile";
import decode from "audio-decode";

const written = new Float64Array(fs.readFileSync("written.f64").buffer.slice(0));
const readers = {
  wavefile(bytes) {
    const file = new wavefile.WaveFile(new Uint8Array(bytes));
    if (file.bitDepth === "8a") file.fromALaw();
    if (file.bitDepth === "8m") file.fromMuLaw();
    file.toBitDepth("32f");
    return file.getSamples();
  },
  async "audio-decode"(bytes) {
    return (await decode(Uint8Array.from(bytes).buffer)).channelData[0];
  },
};
const misread = [
  "wavefile WAVEX-FLOAT", "wavefile WAVEX-ALAW", "wavefile WAVEX-ULAW", "wavefile RF64-FLOAT", "wavefile RF64-ALAW",
  "wavefile RF64-ULAW", "audio-decode CAF-ALAW", "audio-decode CAF-ULAW", "audio-decode AIFF-PCM_S8",
];
const seen = [];
for (const name of fs.readdirSync(".").filter((file) => file.endsWith(".sound"))) {
  for (const [reader, read] of Object.entries(readers)) {
    const label = `${reader} ${name.replace(".sound", "")}`;
    let samples;
    try {
      samples = await read(fs.readFileSync(name));
    } catch {
      console.log(`${label}: refused`);
      continue;
    }
    let off = 0, power = 0, cross = 0, truth = 0;
    written.forEach((value, number) => {
      off = Math.max(off, Math.abs(samples[number] - value));
      power += samples[number] ** 2;
      cross += samples[number] * value;
      truth += value ** 2;
    });
    const level = 10 * Math.log10(power / truth);
    console.log(`${label}: ${samples.length} samples, at most ${off.toFixed(3)} off, correlation ` +
      `${(cross / Math.sqrt(power * truth)).toFixed(2)}, level ${level.toFixed(1)} dB`);
    if (samples.length === written.length && off > 0.1) seen.push(label);
  }
}
if (JSON.stringify(seen.sort()) !== JSON.stringify(misread.sort())) {
  console.error("the behavior has changed: samples come out as written, or the reader raises; misread:", seen);
  process.exit(1);
}
NODE
node probe.mjs
