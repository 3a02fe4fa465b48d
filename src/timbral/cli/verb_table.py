"""All verbs, grouped by stage of the work."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

__all__ = ["STAGES", "VERBS", "load_verb"]

STAGES: dict[str, dict[str, str]] = {
    "Data": {
        "prepare": "Decode corpora once, into audio that training reads fast.",
        "inspect": "Show what is in a corpus or prepared data, and what looks wrong.",
        "export-list": "Write a corpus's list of utterances, for other tools.",
        "corpora": "List known corpora: size, license, page, layout on disk.",
    },
    "Train": {
        "train": "Train an encoder; the same command resumes a stopped run.",
        "configs": "List the training configs that ship with timbral.",
        "check-encoder": "Test your own encoder: padding, batches, gradients, export.",
        "average": "Average weights, such as of a fine-tuned encoder and its origin.",
    },
    "Vectors": {
        "embed": "Write vectors for every utterance and speaker of a corpus.",
        "import-embeddings": "Import vectors of other tools.",
        "speakers": "Compute one vector per speaker, session or cluster.",
        "cluster": "Group unlabeled recordings by speaker.",
        "audit": "Find wrong labels, split or mixed speakers, and duplicates.",
        "map": "Draw a map of voices; clicking a point plays the utterance.",
    },
    "Evaluate": {
        "trials": "Draw a balanced list of trials from a corpus.",
        "evaluate": "Compute EER and minDCF of an encoder on a list of trials.",
        "score": "Score trials from vectors on disk, also of other tools.",
        "compare": "Compare two systems on the same trials: is the difference real?",
        "similarity": "Measure how close cloned voices come to their references.",
        "calibrate": "Turn cosines into probabilities and promised error rates.",
    },
    "Decide": {
        "check": "Check whether recordings are good enough to decide on.",
        "verify": "Decide whether two recordings are of the same speaker.",
        "enroll": "Add a speaker's recordings to a gallery, after checking them.",
        "gallery": "List, show, remove, merge, export, check or migrate voices.",
        "identify": "Find which enrolled speaker is in a recording, if any.",
        "serve": "Serve embed, verify, enroll and identify over HTTP, with a page.",
    },
    "Models": {
        "models": "List architectures, published weights and readable formats.",
        "download": "Download published weights, or encoders from the Hub.",
        "convert": "Convert another project's weights, without running its code.",
        "export": "Export an encoder as one ONNX file, or as a web page.",
        "push": "Upload an encoder with its model card to the Hub.",
    },
    "Demo": {
        "demo": "Run the whole job in five minutes, on synthetic voices.",
    },
}
"""the first line of each verb's help; the order is that of ``timbral --help``"""

VERBS = {name: summary for verbs in STAGES.values() for name, summary in verbs.items()}


def load_verb(name: str) -> Callable[..., int]:
    """The function `run` of a verb's module, which is imported only now."""
    module = import_module(f"timbral.cli.verbs.{name.replace('-', '_')}")
    run: Callable[..., int] = module.run
    return run
