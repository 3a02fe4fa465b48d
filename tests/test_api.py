"""What `import timbral` offers: names, docs, verbs, and what they import."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import timbral
from timbral import api, errors
from timbral.config.schema import TrainConfig
from timbral.data.prepared.store import Store
from timbral.errors import ConfigError, DataError

FUNCTIONS = sorted(name for name in timbral.__all__ if name[0].islower())
CLASSES = sorted(name for name in timbral.__all__ if name[0].isupper())


def test_dir_is_complete_and_clean() -> None:
    names = dir(timbral)
    assert {"load_encoder", "Embedder", "similarity", "train", "embed", "map"} <= set(names)
    assert not {"Any", "TYPE_CHECKING", "annotations"} & set(names)
    assert names == sorted(timbral.__all__)
    assert set(timbral.__all__) <= {*api.MODULES, *api.__all__, *dir(errors), "__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'lod_encoder'"):
        timbral.lod_encoder  # type: ignore[attr-defined]  # noqa: B018


def test_help_shows_every_name() -> None:
    text = pydoc.render_doc(timbral, renderer=pydoc.plaintext)
    for name in [*FUNCTIONS, *CLASSES]:
        assert name in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_explained(name: str) -> None:
    function = getattr(timbral, name)
    assert callable(function)
    assert function.__name__ == name
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter}:" in function.__doc__ or f"`{parameter}`" in function.__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_explained(name: str) -> None:
    assert isinstance(getattr(timbral, name), type)
    assert getattr(timbral, name).__doc__


@pytest.mark.parametrize(
    "name",
    ["encode", "encode_windows", "encode_speaker", "verify", "similarity", "save", "load_audio"],
)
def test_every_method_of_the_embedder_is_explained(name: str) -> None:
    assert len(getattr(timbral.Embedder, name).__doc__) > 60


def test_verbs_stay_functions() -> None:
    """A room that a verb imports does not take the verb's name."""
    code = "import timbral, timbral.api, timbral.training.session\n" + "\n".join(
        f"assert callable(timbral.{name}), {name!r}" for name in FUNCTIONS
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def imported(code: str, *arguments: str) -> set[str]:
    """Modules that are there after `code` ran in a new process."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


def test_import_is_light() -> None:
    modules = imported("import timbral, timbral.api; dir(timbral); timbral.train; timbral.embed")
    assert not {"torch", "numpy", "pyarrow"} & modules


def test_loading_an_encoder_imports_what_it_needs(run: Path, voices: Path) -> None:
    code = (
        "import timbral; e = timbral.load_encoder(sys.argv[1], device='cpu'); e.encode(sys.argv[2])"
    )
    modules = imported(code, str(run), str(next(voices.glob("*/*.ogg"))))
    heavy = {"pyarrow", "matplotlib", "torch._dynamo", "onnxruntime", "rich", "tyro", "ray"}
    assert not heavy & modules
    rooms = {name.split(".")[1] for name in modules if name.startswith("timbral.")}
    assert not rooms & {"api", "training", "bulk", "scoring", "reports", "plots", "cli"} - {"api"}


def test_models_are_listed_without_torch() -> None:
    assert "torch" not in imported("import timbral; timbral.models()")


def test_verbs_take_names_as_text(
    run: Path, store: Store, voices: Path, small_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    made = timbral.train(
        small_config(steps=1),
        str(store.folder),
        str(tmp_path / "run"),
        validation_speakers=2,
        device="cpu",
    )
    assert made.step == 1
    summary = timbral.embed(str(run), str(voices), str(tmp_path / "vectors"), pattern="*_0*.ogg")
    assert summary.num_speakers == 8
    table = timbral.speakers(str(tmp_path / "vectors"), str(tmp_path / "speakers.parquet"))
    assert table.equals(pyarrow.parquet.read_table(tmp_path / "speakers.parquet"))
    assert table.num_rows == 8
    again = timbral.speakers(tmp_path / "vectors", aggregate="mean")
    assert again.num_rows == 8
    assert timbral.export_list(str(voices), str(tmp_path / "list.csv"), format="csv") == (48, 0)
    timbral.average([str(run), str(run)], str(tmp_path / "average"))
    vectors = [
        timbral.load_encoder(path, device="cpu").encode(next(voices.glob("*/*.ogg")))
        for path in (run, str(tmp_path / "average"))
    ]
    np.testing.assert_allclose(*vectors, atol=1e-6)


def test_bad_arguments_are_named(tmp_path: Path, voices: Path) -> None:
    with pytest.raises(ConfigError, match=r"format: unknown value 'xml'; .*allowed: csv"):
        timbral.export_list(voices, tmp_path / "x", format="xml")
    with pytest.raises(ConfigError, match=r"min_probability must be in \[0, 1\], got 2"):
        timbral.audit(tmp_path, min_probability=2.0)
    with pytest.raises(DataError, match=r"utterances\.parquet"):
        timbral.speakers(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown key .*did you mean .steps"):
        timbral.load_config("tdnn-ge2e-small", {"schedule.stps": 3})


def test_load_config() -> None:
    config = timbral.load_config(
        "tdnn-ge2e-small", {"schedule.steps": 3, "optimizer.freeze": ["body"], "optimizer.ema": 0.5}
    )
    assert (config.schedule.steps, config.optimizer.freeze) == (3, ("body",))
