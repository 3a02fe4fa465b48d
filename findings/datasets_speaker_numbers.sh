#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1
#
# Guess, written down before: where speakers are numbers (1 to 12, or 01 to 12), a column of them that becomes a ClassLabel
# whose names are these numbers is matched by name, or raises.
# Seen: by name only where load_dataset("csv", features=...) reads it, and where the numbers are text. cast_column,
# Parquet, JSON, from_dict and from_pandas take numbers for places in the list of names. class_encode_column sorts names as
# text (1, 10, 11, 12, 2, ...): training's speaker 2 and the test's speaker 2, cast to training's features, are then different
# people, so for every speaker and without a word. A number at or above the count of names raises in from_dict and passes
# cast_column, as a label without a name. Text that is no name is taken for a place as well: of the names
# 10, 20, 30 and 40 a stranger "3" becomes 40.
# Who is hurt: whoever keeps speakers as numbers, encodes training and casts the test to its features: the test's
# labels are other people's and its accuracy is near zero; training on both mixes people, and in open-set tests a stranger
# gets the label of somebody known.
# What to do: make the column text first, cast_column("speaker", Value("string")), or put a letter before the numbers; read
# CSV with features=; look whether each label's name is its number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cd "$folder"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from pathlib import Path

import datasets
import pandas as pd
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

ALL, TESTED = list(range(1, 13)), list(range(1, 11))


def write(name: str, speakers: list[int]) -> None:
    table = Dataset.from_dict({"speaker": speakers})
    table.to_csv(f"{name}.csv")
    table.to_parquet(f"{name}.parquet")
    Path(f"{name}.jsonl").write_text("".join(json.dumps({"speaker": each}) + "\n" for each in speakers))
    Path(f"{name}-text.jsonl").write_text("".join(json.dumps({"speaker": str(each)}) + "\n" for each in speakers))


write("train", ALL + ALL)
write("test", TESTED)
train = load_dataset("csv", data_files="train.csv", split="train").class_encode_column("speaker")
labels = train.features["speaker"]
print(f"names, from training: {', '.join(labels.names)}")
features = Features({"speaker": labels})


def read(kind: str, path: str, **options) -> Dataset:
    return load_dataset(kind, data_files=path, split="train", **options)


plain = read("csv", "test.csv")
ways = {
    "training itself": train.select(range(len(TESTED))),
    "CSV, features=": read("csv", "test.csv", features=features),
    "JSON of text, features=": read("json", "test-text.jsonl", features=features),
    "text, then cast_column": plain.cast_column("speaker", Value("string")).cast_column("speaker", labels),
    "CSV, then cast_column": plain.cast_column("speaker", labels),
    "Parquet, features=": read("parquet", "test.parquet", features=features),
    "JSON, features=": read("json", "test.jsonl", features=features),
    "from_dict": Dataset.from_dict({"speaker": TESTED}, features=features),
    "from_pandas": Dataset.from_pandas(pd.DataFrame({"speaker": TESTED}), features=features),
}
ok = True
for way, rows in ways.items():
    names = labels.int2str(rows["speaker"][:])
    same = sum(name == str(speaker) for name, speaker in zip(names, TESTED, strict=True))
    print(f"{way}: speakers 1 to 10 are {', '.join(names)}: {same} of 10 right")
    ok &= same == (10 if way in list(ways)[:4] else 0)
zeros = ClassLabel(names=[f"{each:02d}" for each in ALL])
shifted = zeros.int2str(plain.cast_column("speaker", zeros)["speaker"][:])
print(f"names 01 to 12, cast_column: speakers 1 to 10 are {', '.join(shifted)}")
ok &= shifted == [f"{each + 1:02d}" for each in TESTED]
tens = ClassLabel(names=["10", "20", "30", "40"])
(stranger,) = tens.int2str(Dataset.from_dict({"speaker": ["3"]}).cast_column("speaker", tens)["speaker"][:])
print(f'names 10, 20, 30, 40: the text "3" is {stranger}')
ok &= stranger == "40"
beyond = Dataset.from_dict({"speaker": [40]}).cast_column("speaker", labels)["speaker"][0]
print(f"of twelve names number 40 is label {beyond}")
ok &= beyond == 40
sys.exit(0 if ok else "the behavior has changed: numbers of speakers are matched by name, or refused")
PYTHON
