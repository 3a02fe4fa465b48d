"""Settings in a ReDimNet's ``model_config`` that cannot be read from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbral.encoders.base import LARGEST_SIZE
from timbral.errors import CheckpointError

__all__ = ["KEY", "Settings", "check_features", "check_network", "read_settings"]

KEY = "model_config"
FEATURES = {"pt": "torchaudio", "pt_mel": "torchaudio", "tf": "tf", "tf_mel": "tf"}
KNOWN: dict[str, tuple[Any, ...]] = {
    "causal": ("none",),
    "spec_in_channels": (1,),
    "use_freq_pos_enc": (False,),
    "fm_weigthing_type": ("NC",),
    "compress_tconvs": (True,),
    "pooling_func": ("ASTP",),
    "emb_bn": (False,),
    "tf_optimized_arch": (False,),
    "block_1d_type": ("att", "conv+att"),
    "block_2d_type": ("basic_resnet", "basic_resnet_fwse", "convnext_like"),
    "feat_type": tuple(FEATURES),
    "return_2d_output": (False, True),
    "pad_right_samples": (None,),
    "before_pool_offset": (None,),
    "is_subnet": (False,),
    "offset_fm_weights": (0,),
    "att_dos": (None,),
}
"""settings that cannot be read from tensors, and their supported values"""
KNOWN_OF_FEATURES: dict[str, tuple[Any, ...]] = {
    "sample_rate": (16_000,),
    "n_fft": (512,),
    "win_length": (400,),
    "f_min": (20,),
    "f_max": (7_600,),
    "do_preemph": (True,),
    "spec_norm": ("mn",),
    "norm_signal": (False, True),
    "eps": (1e-8,),
}
"""the same for ``spec_params``"""
READ_ELSEWHERE = {
    "F", "C", "stages_setup", "group_divisor", "out_channels", "embed_dim", "global_context_att",
    "dual_agg", "agg_gnorm", "hop_length", "spec_params",
}  # fmt: skip
"""settings that follow from the tensors, or are read by other code"""
OF_TRAINING = {
    "num_classes", "class_dropout", "feat_agg_dropout", "head_activation", "return_all_outputs",
}  # fmt: skip
AUGMENTATION = {
    "do_spec_aug", "freq_start_bin", "num_apply_spec_aug", "freq_mask_width", "time_mask_width",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Settings that cannot be read from tensors."""

    version: int
    group_divisor: int
    features: str
    hop_samples: int
    normalize_waves: bool
    pools_channels_first: bool
    """whether the last map's numbers are pooled mel by mel within each channel"""


def read_settings(content: Mapping[Any, Any]) -> Settings:
    """The settings in a file's content; CheckpointError if they are missing or not supported."""
    given = content.get(KEY)
    if not isinstance(given, Mapping):
        raise CheckpointError(
            "the weights of a ReDimNet do not say which features they need, so the file must "
            "also contain its model_config, as the published files do "
            "(torch.save({'model_config': {…}, 'state_dict': …}, FILE))"
        )
    check_network(given, KEY)
    # ReDimNet2's class cannot be built without it, and ReDimNet's takes none
    version = 2 if "causal" in given else 1
    of_features = given.get("spec_params", {} if version == 1 else None)
    if not isinstance(of_features, Mapping):
        raise CheckpointError(
            f"{KEY}.spec_params is missing; it is required, because its defaults have changed"
        )
    check_features(of_features, f"{KEY}.spec_params")
    groups = given.get("agg_gnorm", False)  # True is as many as channels, a number itself
    if type(groups) is not bool and (type(groups) is not int or groups != given.get("C")):
        raise CheckpointError(f"{KEY}.agg_gnorm {_shown(given['agg_gnorm'])} is not known")
    return Settings(
        version,
        _whole_number(given, "group_divisor", 4 if version == 1 else 1),
        FEATURES[given.get("feat_type", "pt")],
        _whole_number(given, "hop_length", 160),
        bool(of_features.get("norm_signal", False)),
        bool(given.get("return_2d_output", False)),
    )


def check_network(given: Mapping[Any, Any], where: str) -> None:
    """Raise CheckpointError for an unknown setting of the network, or an unsupported value."""
    _check(given, KNOWN, READ_ELSEWHERE | OF_TRAINING, where)


def check_features(given: Mapping[Any, Any], where: str) -> None:
    """Raise CheckpointError for an unknown setting of the features, or an unsupported value."""
    _check(given, KNOWN_OF_FEATURES, AUGMENTATION, where)


def _check(
    given: Mapping[Any, Any], known: Mapping[str, tuple[Any, ...]], other: set[str], where: str
) -> None:
    for key, value in given.items():
        if key in known:
            if not any(type(value) is type(one) and value == one for one in known[key]):
                allowed = ", ".join(repr(one) for one in known[key])
                raise CheckpointError(f"{where}.{key} {_shown(value)} is not known, only {allowed}")
        elif key not in other:
            raise CheckpointError(
                f"{where} has the unknown key {_shown(key)}, so the network may be another one"
            )


def _whole_number(given: Mapping[Any, Any], key: str, default: int) -> int:
    value = given.get(key, default)
    if type(value) is not int or not 1 <= value <= LARGEST_SIZE:
        raise CheckpointError(
            f"{KEY}.{key} must be a whole number from 1 to {LARGEST_SIZE}: {_shown(value)}"
        )
    return value


def _shown(value: object) -> str:
    """Any value in one short line."""
    return " ".join(repr(value).split())[:60]
