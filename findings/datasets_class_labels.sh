#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1
#
# Guess, written down before: reading two Parquet files whose speakers (ClassLabel) have other names raises, as
# concatenating them does, or each number is given its own file's name.
# Seen: the first file's names are taken for all files and for all splits, and numbers keep. Cora and Dan of the second
# file come back as Anna and Ben, without a word; a third speaker, beyond the first file's names, is a number without a
# name. So it is with Arrow files of save_to_disk read this way, and with streaming. Each file states its names in its
# schema; only the first file's are read. Dataset.cast to the other's features swaps names in the same way.
# Who is hurt: whoever writes one file for each corpus, part or split (Dataset.to_parquet) and reads them together, or
# pushes files of disjoint speakers to the Hub: two people of each number become one speaker in training, and the
# test split's speakers bear the names of training's.
# What to do: keep speakers as text (Value("string")) in files; make numbers of them after everything is read together
# (class_encode_column); or read each file by itself and call concatenate_datasets, which raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1
cd "$folder"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import datasets

SPEAKERS = {"first": ["anna", "ben"], "second": ["cora", "dan"]}
truth: dict[str, list[str]] = {}
for part, names in SPEAKERS.items():
    truth[part] = [names[0], names[1], names[1]]
    features = datasets.Features({"speaker": datasets.ClassLabel(names=names)})
    rows = datasets.Dataset.from_dict({"speaker": [0, 1, 1]}, features=features)
    rows.to_parquet(f"{part}.parquet")
    rows.save_to_disk(part)


def names_of(rows: datasets.Dataset) -> list[str]:
    return [rows.features["speaker"].int2str(row["speaker"]) for row in rows]


arrow = [str(next(Path(part).glob("*.arrow"))) for part in SPEAKERS]
parquet = [f"{part}.parquet" for part in SPEAKERS]
both = truth["first"] + truth["second"]
splits = {"train": parquet[0], "test": parquet[1]}
seen = {
    "two Parquet files": names_of(datasets.load_dataset("parquet", data_files=parquet, split="train")),
    "two Parquet files, streamed": names_of(
        datasets.load_dataset("parquet", data_files=parquet, split="train", streaming=True)
    ),
    "two Arrow files": names_of(datasets.load_dataset("arrow", data_files=arrow, split="train")),
    "split test": names_of(datasets.load_dataset("parquet", data_files=splits)["test"]),
}
ok = True
for way, names in seen.items():
    right = truth["second"] if way == "split test" else both
    print(f"{way}: {', '.join(names)}; written were {', '.join(right)}")
    ok &= names == (truth["first"] if way == "split test" else truth["first"] * 2)
try:
    datasets.concatenate_datasets([datasets.Dataset.from_parquet(path) for path in parquet])
    ok = False
except ValueError:
    print("read one by one and concatenated: raises")
sys.exit(0 if ok else "the behavior has changed: each file's own names count, or files of other names are refused")
PYTHON
