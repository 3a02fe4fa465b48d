#!/usr/bin/env bash
# coqui-tts 0.28.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: a speaker with vectors in two d_vector files, as train and evaluation or old and new recordings
# have them, keeps the vectors of both.
# Seen: by clip yes, by name not: the last file's vectors replace the others. Of 50 vectors in the first file and 2 in the second
# get_embeddings_by_name has 2 and get_mean_embedding is the mean of these; get_embeddings_by_names, of the same object, has
# 52. Nothing is said; clips of one name in two files raise.
# Who is hurt: whoever adds a file of few or poor recordings to d_vector_file: the voice that is spoken by a speaker's name is
# that of the last file's clips, and depends on the files' order.
# What to do: merge the files (one dictionary), or take means from get_embeddings_by_names().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"${pip[@]}" --no-deps coqui-tts==0.28.0 # the file below needs little of the rest
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np

package = Path(importlib.machinery.PathFinder.find_spec("TTS").origin).parent
unused = {"TTS": "", "TTS.config": "load_config", "TTS.encoder": "", "TTS.encoder.models": "", "TTS.utils": "",
          "TTS.encoder.models.base_encoder": "BaseEncoder", "TTS.encoder.utils": "", "TTS.utils.audio": "AudioProcessor",
          "TTS.encoder.utils.generic_utils": "setup_encoder_model", "TTS.utils.generic_utils": "is_pytorch_at_least_2_4"}
for name, member in unused.items():  # imported for computing vectors, which is not done here
    sys.modules[name] = types.ModuleType(name)
    setattr(sys.modules[name], member or "unused", type(member, (), {}))
spec = importlib.util.spec_from_file_location("managers", package / "tts" / "utils" / "managers.py")
managers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(managers)

generator = np.random.default_rng(0)
voice = generator.standard_normal(256)
vectors = {name: voice + 2 * generator.standard_normal((count, 256)) for name, count in (("train", 50), ("new", 2))}
for name, found in vectors.items():
    clips = {f"corpus#{name}/{number}": {"name": "anna", "embedding": vector.tolist()} for number, vector in enumerate(found)}
    Path(f"{name}.json").write_text(json.dumps(clips))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


ok, everything = True, np.concatenate(list(vectors.values())).mean(0)
for files in (["train.json", "new.json"], ["new.json", "train.json"]):
    manager = managers.EmbeddingManager(embedding_file_path=files)
    mean = manager.get_mean_embedding("anna")
    by_name, anew = len(manager.get_embeddings_by_name("anna")), len(manager.get_embeddings_by_names()["anna"])
    print(f"{files}: {manager.num_embeddings} clips, by name {by_name}, counted anew {anew}; mean: cosine to the mean of all "
          f"{cosine(mean, everything):.2f}, to the voice {cosine(mean, voice):.2f}")
    last = vectors[files[-1].removesuffix(".json")]
    ok &= manager.num_embeddings == anew == 52 and by_name == len(last) and np.allclose(mean, last.mean(0))
sys.exit(0 if ok else "the behavior has changed: a name has the vectors of all files")
PYTHON
