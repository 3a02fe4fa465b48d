"""A command loads its encoder without collecting garbage, and collects again afterwards."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from timbral.cli.quick_loading import without_collection


@pytest.fixture
def frozen_by_nobody() -> None:
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_by_nobody")
def test_nothing_is_collected_within_and_everything_afterwards() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count()
    with without_collection():  # a second encoder: objects of the first may be garbage
        assert gc.isenabled()
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_by_nobody")
def test_a_refusal_within_turns_it_on_again() -> None:
    with pytest.raises(ValueError, match="refused"), without_collection():
        raise ValueError("refused")
    assert gc.isenabled()
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_by_nobody")
def test_whoever_turned_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
        assert not gc.get_freeze_count()
    finally:
        gc.enable()


def test_verify_loads_without_collections(voices: Path) -> None:
    code = (
        "import gc, sys\n"
        "full = []\n"
        "gc.callbacks.append(lambda phase, info: full.append(phase) "
        "if info['generation'] == 2 and 'torch' in sys.modules else None)\n"
        "sys.argv = ['timbral', 'verify', *sys.argv[1:]]\n"
        "from timbral.cli.main import run\n"
        "assert run() == 0\n"
        "assert gc.isenabled()\n"
        "print('full collections', len(full))"
    )
    words = [str(path) for path in sorted(voices.rglob("*.ogg"))[:2]]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout.endswith("full collections 0\n"), done.stdout + done.stderr
