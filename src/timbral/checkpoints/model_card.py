"""The README.md of a run, of a saved encoder and of a repository of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.card_evaluations import CardEvaluation, table_cell
from timbral.encoders.base import SpeakerEncoder
from timbral.io.files import atomic_write
from timbral.version import __version__

__all__ = [
    "CARD_FILE",
    "ModelCard",
    "NetworkSizes",
    "is_own_card",
    "write_card",
]

CARD_FILE = "README.md"
MARK = "<!-- Written by timbral. Delete this line to keep what you change. -->"
HUB_LICENSES = frozenset(
    """
    apache-2.0 mit openrail bsd-2-clause bsd-3-clause gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0
    unlicense cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-4.0 cdla-permissive-2.0
    other unknown
    """.split()  # noqa: SIM905
)
"""the Hub's identifiers; any other license is `other` with a name"""
TRIM_IN_WORDS = {
    "none": "nothing is cut",
    "energy": "pauses 40 dB below the loudest part are cut",
    "silero": "parts without speech, by Silero's voice activity detection, are cut",
    "edges": "silence at both ends is cut",
    "quiet-ends": "parts 20 dB below the loudest are cut at both ends",
    "webrtc": "parts without speech, by WebRTC's voice activity detection, are cut",
}


@dataclass(frozen=True)
class NetworkSizes:
    """Architecture and sizes of a network, for its card."""

    architecture: str
    embedding_dim: int
    sample_rate: int
    min_samples: int
    parameters: int

    @classmethod
    def of(cls, network: SpeakerEncoder) -> NetworkSizes:
        return cls(
            network.name,
            network.embedding_dim,
            network.sample_rate,
            network.min_samples,
            sum(parameter.numel() for parameter in network.parameters()),
        )


@dataclass(frozen=True)
class ModelCard:
    """The content of an encoder's model card."""

    title: str
    load_from: str
    """the argument of `load_encoder`: a repository, or a folder's name"""
    network: NetworkSizes
    preprocessing: Preprocessing
    weights_sha256: str
    license: str = ""
    is_on_hub: bool = False
    threshold: float | None = None
    validation_eer: float | None = None
    training_data: Mapping[str, Any] = field(default_factory=dict)
    """from `summarize_data`, or its `description` in words; perhaps with `begun_from`"""
    evaluations: Sequence[CardEvaluation] = ()
    calibration: str = ""
    """one sentence; empty without a calibration"""
    exported: str = ""
    """name of the ONNX file in the folder; empty if there is none"""
    is_random: bool = False
    """whether parts of the weights were never trained"""

    def text(self) -> str:
        """The card as Markdown, beginning with the metadata that the Hub reads."""
        sections = [
            f"---\n{yaml.safe_dump(self._metadata(), sort_keys=False, allow_unicode=True)}---",
            MARK,
            f"# {self.title}",
            self._summary(),
            f"## Use\n\n{self._use()}",
            f"## Recordings\n\n{self._recordings()}",
            f"## Training data\n\n{self._data()}",
            f"## How good it is\n\n{self._quality()}",
            f"## Limits\n\n{self._limits()}",
            f"Weights: SHA-256 `{self.weights_sha256}`. Card by timbral {__version__}.",
        ]
        return "\n\n".join(sections) + "\n"

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"library_name": "timbral", **_license_entry(self.license)}
        metadata["tags"] = ["timbral", "speaker-verification", "speaker-embedding", "audio"]
        if begun := self._begun_from().get("hub"):
            metadata["base_model"] = begun
        if self.evaluations:
            results = [evaluation.hub_result() for evaluation in self.evaluations]
            metadata["model-index"] = [{"name": self.title, "results": results}]
        return metadata

    def _summary(self) -> str:
        net = self.network
        size = f"{net.parameters / 1e6:.1f} million"
        if net.parameters < 100_000:
            size = f"{net.parameters:,}"
        return (
            f"A speaker encoder: it turns a recording into a vector of {net.embedding_dim} numbers "
            f"and unit length. The cosine of two vectors says how similar two voices are. "
            f"Architecture `{net.architecture}`, {size} parameters, "
            f"{net.sample_rate // 1000} kHz. License: {self.license or '**none was stated**'}."
        )

    def _use(self) -> str:
        download = ", download=True" if self.is_on_hub else ""
        where = "" if self.is_on_hub else "  # in the folder above this one"
        lines = [
            "```python",
            "import timbral",
            "",
            f'encoder = timbral.load_encoder("{self.load_from}"{download}){where}',
            f'vectors = encoder.encode(["a.wav", "b.wav"])  # (2, {self.network.embedding_dim})',
            'print(encoder.verify("a.wav", "b.wav"))',
            "```",
            "",
            f"On the command line: `timbral verify {self.load_from} a.wav b.wav`.",
        ]
        if self.exported:
            lines += [
                "",
                f"`{self.exported}` is the same encoder as one ONNX file that takes waveforms, "
                "front-end included, for onnxruntime without torch.",
            ]
        return "\n".join(lines)

    def _recordings(self) -> str:
        rate = self.network.sample_rate
        rms = self.preprocessing.min_rms_dbfs
        level = "unchanged" if rms is None else f"raised to {rms:g} dBFS RMS if it is lower"
        return (
            f"Any rate and format; resampled to {rate // 1000} kHz, channels averaged. "
            f"Preprocessing, as in training and applied by timbral: level {level}; "
            f"{TRIM_IN_WORDS[self.preprocessing.trim]}. At least "
            f"{self.network.min_samples / rate:.2f} s must remain, or the recording is refused. "
            "Neither padding nor other recordings in a batch change a vector."
        )

    def _data(self) -> str:
        begun = self._begun_from()
        start = ""
        if begun:
            license = f", {begun['license']}" if begun.get("license") else ""
            start = (
                f"Training started from the weights of {begun.get('name', 'another')}{license}. "
            )
        described = self.training_data.get("description")
        if isinstance(described, str) and described:
            return start + described
        if not self.training_data.get("utterances"):
            return start + (
                "Unknown: the weights were not trained by timbral, or by an old version of it."
            )
        lines = [
            f"{start}{_amount(self.training_data)}; held-out speakers are not among them.",
            "",
            "| corpus | speakers | utterances | hours | license |",
            "| --- | --- | --- | --- | --- |",
        ]
        for corpus in self.training_data.get("corpora", ()):
            page, name = corpus.get("page", ""), table_cell(corpus.get("name", "")) or "unnamed"
            named = f"[{name}]({page})" if page else name
            lines.append(
                f"| {named} | {corpus['speakers']:,} | {corpus['utterances']:,} | "
                f"{corpus['hours']:,.1f} | {corpus.get('license', 'not known to timbral')} |"
            )
        return "\n".join(lines)

    def _begun_from(self) -> Mapping[str, Any]:
        begun = self.training_data.get("begun_from")
        return begun if isinstance(begun, Mapping) else {}

    def _quality(self) -> str:
        parts = []
        if self.evaluations:
            parts.append(
                "\n".join(
                    [
                        "| trials | EER (95 % over speakers) | number | speakers |",
                        "| --- | --- | --- | --- |",
                        *(evaluation.line for evaluation in self.evaluations),
                    ]
                )
            )
        if self.validation_eer is not None:
            parts.append(
                f"Lowest EER on the speakers that training held out: "
                f"{100 * self.validation_eer:.2f} %. It is from few trials and was chosen as the "
                "lowest, so expect more errors on other speakers."
            )
        parts += _kept_old(self.training_data.get("keep_old"))
        if not parts:
            parts.append("Not evaluated yet: `timbral evaluate` does that.")
        if self.threshold is not None:
            parts.append(
                f"Both kinds of errors were equally frequent there at a cosine of "
                f"{self.threshold:.3f}, the default threshold of `verify`."
            )
        if self.calibration:
            parts.append(self.calibration)
        return "\n\n".join(parts)

    def _limits(self) -> str:
        measured = bool(self.evaluations) or self.validation_eer is not None
        limits = [
            "Compare vectors only with vectors from the same weights and preprocessing.",
            "Error rates depend on microphones, codecs, noise, languages and lengths"
            + measured * ": those above hold for recordings like the ones they were measured on"
            + ".",
            "Short recordings are less reliable: with the encoders measured, 1 s of speech has "
            "several times the errors of 4 s.",
        ]
        if not self.calibration:
            limits.append(
                "It has no calibration, so a cosine is not a probability; `timbral calibrate` fits "
                "one to recordings like yours."
            )
        if self.is_random:
            limits.insert(0, "**Parts of the weights are random: train it before use.**")
        return "\n".join(f"- {limit}" for limit in limits)


def write_card(folder: Path, card: ModelCard) -> None:
    """Write README.md, unless one exists that a user has written or changed."""
    path = folder / CARD_FILE
    if path.exists() and not is_own_card(path):
        return
    with atomic_write(path, sync=False) as temporary:
        temporary.write_text(card.text(), "utf-8")


def is_own_card(path: Path) -> bool:
    """Whether a README.md was written by timbral and not changed, so that it may be replaced."""
    return MARK in path.read_text("utf-8", errors="replace")


def _license_entry(license: str) -> dict[str, str]:
    if not license:
        return {}
    word = license.lower().replace(" ", "-")
    return (
        {"license": word}
        if word in HUB_LICENSES
        else {
            "license": "other",
            "license_name": word,
        }
    )


def _amount(data: Mapping[str, Any]) -> str:
    return (
        f"{data.get('speakers', 0):,} speakers, {data.get('utterances', 0):,} utterances, "
        f"{data.get('hours', 0):,.1f} hours"
    )


def _kept_old(choice: Any) -> list[str]:
    """How trained and initial weights were averaged to stay good on other voices, with the EERs."""
    if not isinstance(choice, Mapping):
        return []
    try:
        lines = [
            f"The weights are an average: {choice['share']:g} times the fine-tuned ones plus "
            f"{1 - choice['share']:g} times those that training started from, "
            f"`{table_cell(str(choice['start']))}`. The proportion was chosen on the speakers "
            "below, so expect slightly worse results on others. EER in %, and the 95 % interval of "
            "its change over speakers:",
            "",
            "| voices | speakers | start | now | change, points |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {table_cell(str(voices['name']))} | {voices['speakers']:,} | "
            f"{100 * voices['eer_of_start']:.2f} | {100 * voices['eer']:.2f} | "
            f"{100 * voices['low']:+.2f} to {100 * voices['high']:+.2f} |"
            for voices in choice["voices"]
        ]
    except (KeyError, TypeError, ValueError):  # from another version, or changed by a user
        return []
    return ["\n".join(lines)]
