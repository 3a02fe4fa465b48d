#!/usr/bin/env bash
# webdataset 1.0.2, wids 0.1.11, numpy 2.4.6, braceexpand 0.1.7 (and curl, which webdataset calls)
#
# Guess, written down before: both give the recordings of the tar files that they are told, each once.
# Seen: they give those of the first tar file that had its name. WebDataset(urls, cache_dir=...) keeps a remote file under the
# last part of its address: http://host/train/000000.tar and http://host/test/000000.tar are one, in one list or in two.
# ShardListDataset of wids (the same by index) does so with cache_dir= for local files too; without it they are copied
# to /tmp/_wids_cache under their name as written, and 000.tar in the folder of one experiment is 000.tar of another. A
# tar file that was written again gives its old recordings, in new processes too and for as long as /tmp lives. Nothing
# is said, lengths agree, nsamples is not compared with what is in the file.
# Who is hurt: whoever trains or tests on shards: the test is the training's recordings, which any encoder passes, a language is
# another one, and after a correction of the labels the old ones go on.
# What to do: one cache_dir for each list, removed afterwards; names with the set and a date or checksum
# (train-2026-11-30-000000.tar); in wids localname=lambda path: path for local files, which copies nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 pyyaml==6.0.3
"${pip[@]}" --no-deps wids==0.1.11 webdataset==1.0.2 braceexpand==0.1.7
cd "$folder"
export WIDS_CACHE="$folder/cache" # in place of /tmp/_wids_cache
mkdir -p stand-in/torch/utils # wids takes two base classes from PyTorch and no more here, so these will do
touch stand-in/torch/__init__.py stand-in/torch/distributed.py stand-in/torch/utils/__init__.py
cat >stand-in/torch/utils/data.py <<'PYTHON'
from typing import Generic, TypeVar


class Dataset(Generic[TypeVar("T")]): ...


class Sampler: ...
PYTHON
cat >shards.py <<'PYTHON'
"""Tar files of twenty recordings of one speaker, and who is in them."""

import io
import tarfile
from collections import Counter


def write(path: str, speaker: str) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(20):
            for ending, content in {"speaker": speaker.encode(), "pcm": bytes(32000)}.items():
                member = tarfile.TarInfo(f"{number:03}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def count(speakers: list[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(Counter(speakers).items()))
PYTHON
mkdir first second train test kept other
"$folder/venv/bin/python" - <<'PYTHON'
import functools
import http.server
import sys
import threading

import webdataset
from shards import count, write


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory="."))
threading.Thread(target=server.serve_forever, daemon=True).start()
write("train/000000.tar", "ann")
write("test/000000.tar", "bob")
urls = [f"http://127.0.0.1:{server.server_port}/{name}/000000.tar" for name in ("train", "test")]


def look(urls: list[str], **options: str) -> str:
    dataset = webdataset.WebDataset(urls, shardshuffle=False, **options)
    return count([sample["speaker"].decode() for sample in dataset])


plain, cached = look(urls), look(urls, cache_dir="kept")
first, second = look(urls[:1], cache_dir="other"), look(urls[1:], cache_dir="other")
print(f"WebDataset, train/000000.tar of ann and test/000000.tar of bob: {plain}")
print(f"    with cache_dir: {cached}; one after the other: {first}, then {second}")
ok = plain == "ann 20, bob 20" and cached == "ann 40" and second == "ann 20"
sys.exit(0 if ok else "the behavior has changed: folders count in WebDataset's cache")
PYTHON
PYTHONPATH="$folder/stand-in" "$folder/venv/bin/python" - 2>wids.log <<'PYTHON' || (cat wids.log && exit 1)
import os
import sys

import wids
from shards import count, write


def look(files: list[str], **options: object) -> str:
    shards = [{"url": file, "nsamples": 20} for file in files]
    dataset = wids.ShardListDataset(shards, transformations=lambda sample: sample, **options)
    return count([dataset[number][".speaker"].read().decode() for number in range(len(dataset))])


both = ["train/000000.tar", "test/000000.tar"]
cached, right = look(both, cache_dir="third"), look(both, localname=lambda path: path)
print(f"ShardListDataset with cache_dir: {cached}; with localname=lambda path: path: {right}")
write("first/000.tar", "ann")
before = look([os.path.abspath("first/000.tar")])
write("first/000.tar", "carl")
after = look([os.path.abspath("first/000.tar")])
print(f"    a file of ann: {before}; written again with carl: {after}")
write("second/000.tar", "bob")
found = []
for name in ("first", "second"):
    os.chdir(name)
    found.append(look(["000.tar"]))
    os.chdir("..")
print(f"    000.tar of carl in one folder: {found[0]}; 000.tar of bob in another: {found[1]}")
ok = cached == "ann 40" and right == "ann 20, bob 20" and after == "ann 20" and found == ["carl 20", "carl 20"]
sys.exit(0 if ok else "the behavior has changed: ShardListDataset reads the files that it is told")
PYTHON
