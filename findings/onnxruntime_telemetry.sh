#!/usr/bin/env bash
# onnxruntime 1.31.1 beside 1.28.0, onnx 1.23.2, numpy 2.4.6 (wheels of PyPI on Linux)
#
# Guess: running a model with the wheel for Linux opens no connection and leaves no file, as in all versions for years.
# Seen: since 1.29 the wheel has a telemetry of its own. Before the first model has run it has written an identifier of the
# device and a database into the cache folder of the user (~/.cache/Microsoft/DeveloperTools/.onnxruntime); in processes
# that live for a minute or so it looks up mobile.events.data.microsoft.com (seen by strace; not checked here, since it needs
# a network). disable_telemetry_events() right after the import still leaves the identifier. With
# ORT_DISABLE_TELEMETRY=1 in the environment before the import there is nothing. 1.28.0 wrote nothing.
# Who is hurt: whoever tells people that their voices are compared on their own machine and that nothing leaves it, and
# everybody behind a firewall that reports such look-ups. Most voice activity detectors, sherpa-like pipelines and exported
# speaker encoders in Python run on this wheel.
# What to do: set ORT_DISABLE_TELEMETRY=1 before onnxruntime is imported, also for packages that bring it along.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/run.py" <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

if "call" in sys.argv:
    onnxruntime.disable_telemetry_events()
sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 192]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", sides[:1], sides[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
session.run(None, {"x": np.zeros((1, 192), np.float32)})
PYTHON

written() {  # VERSION ASK [VARIABLE=VALUE]: the files that a run leaves in an empty home
    home=$(mktemp -d -p "$folder")
    env -u XDG_CACHE_HOME -u ORT_DISABLE_TELEMETRY -u CI HOME="$home" ${3:+"$3"} "$folder/$1/bin/python" "$folder/run.py" "$2"
    (cd "$home" && find . -type f -name deviceid | sed "s|^|$1 $2 ${3:-}: |")
}

for version in 1.28.0 1.31.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q --disable-pip-version-check "onnxruntime==$version" onnx==1.23.2 numpy==2.4.6
done
seen=$(written 1.28.0 plain; written 1.31.1 plain; written 1.31.1 call; written 1.31.1 plain ORT_DISABLE_TELEMETRY=1)
echo "$seen"
expected=$(printf '1.31.1 %s : ./.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid\n' plain call)
[ "$seen" = "$expected" ] || { echo "the behavior has changed: who leaves an identifier is another one now"; exit 1; }
