"""All verbs, by the stage of the work that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

__all__ = ["STAGES", "VERBS", "load_verb"]

STAGES: dict[str, dict[str, str]] = {
    "Data": {
        "prepare": "Decode corpora once, into audio that training reads fast.",
        "inspect": "Show what a corpus or prepared data holds, and what looks wrong.",
        "export-list": "Write the list of a corpus's utterances, for other tools.",
        "corpora": "List known corpora: size, license, page, layout on disk.",
    },
    "Train": {
        "train": "Train an encoder; a run that is there is resumed exactly.",
        "configs": "List the training configs that come with timbral.",
        "check-encoder": "Does an encoder of your own keep what every encoder promises?",
        "average": "Average weights, as of a fine-tuned encoder and its origin.",
    },
    "Vectors": {
        "embed": "Vectors of every utterance and every speaker of a corpus.",
        "import-embeddings": "Take over vectors of other tools, for all verbs.",
        "speakers": "One vector per speaker, session or cluster.",
        "cluster": "Who is who in recordings without labels?",
        "audit": "Find wrong labels, split or mixed speakers, duplicates.",
        "map": "Draw a map of voices: a click on a point plays the utterance.",
    },
    "Evaluate": {
        "trials": "Draw a list of trials from a corpus, as many for every speaker.",
        "evaluate": "EER and minDCF of an encoder on a list of trials.",
        "score": "Score trials from vectors on disk, also other tools' vectors.",
        "compare": "Two systems on the same trials: is the difference real?",
        "similarity": "How near do cloned voices come to their references?",
        "calibrate": "What a cosine is worth: probability, and promised error rates.",
    },
    "Decide": {
        "check": "Can a decision rest on a recording? Speech, noise, channels.",
        "verify": "Are two recordings of the same speaker?",
        "enroll": "Add a speaker's recordings to a gallery, if they fit.",
        "gallery": "What a gallery holds; remove, merge, export, check, migrate.",
        "identify": "Who of the enrolled voices speaks in a recording, or nobody?",
        "serve": "Answer over HTTP, with a page: embed, verify, enroll, identify.",
    },
    "Models": {
        "models": "List encoders to train and published weights to download.",
        "download": "Download encoders: published weights, or some of the Hub.",
        "convert": "Convert another project's weights; none of its code runs.",
        "export": "Write an encoder as one ONNX file, or as a page for browsers.",
        "push": "Upload an encoder with its model card to the Hub.",
    },
    "Demo": {
        "demo": "The whole job in five minutes, on synthetic voices.",
    },
}
"""the first line of each verb's help; the order is that of ``timbral --help``"""

VERBS = {name: summary for verbs in STAGES.values() for name, summary in verbs.items()}


def load_verb(name: str) -> Callable[..., int]:
    """The function `run` of a verb's module, which is imported now and not before."""
    module = import_module(f"timbral.cli.verbs.{name.replace('-', '_')}")
    run: Callable[..., int] = module.run
    return run
