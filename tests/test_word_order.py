"""Options may stand before, between and after the other words of every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Ask
from timbral.cli import main
from timbral.cli.verb_table import VERBS, load_verb
from timbral.cli.word_order import options_last
from timbral.cli.wording import flags_of
from timbral.errors import ConfigError


@pytest.mark.parametrize(
    ("verb", "words", "ordered"),
    [
        ("verify", "e --precision int8 a b", "e a b --precision int8"),
        ("verify", "--json e --prior=0.1 a --threshold -0.5 b", "e a b --json --prior=0.1 "
         "--threshold -0.5"),
        ("verify", "a --false_accept 0.01 b", "a b --false_accept 0.01"),
        ("average", "a --weights 0.9 0.1 --output o b", "a b --weights 0.9 0.1 --output o"),
        ("average", "a --output o b --weights 0.9 0.1", "a b --output o --weights 0.9 0.1"),
        ("evaluate", "e --by gender t", "e --by gender t"),
        ("import-embeddings", "- --output o a", "- a --output o"),
        ("identify", "g --json a -- -b.wav --json", "--json -- g a -b.wav --json"),
        ("check", "a --unknown b", "a b --unknown"),
    ],
)  # fmt: skip
def test_options_go_last(verb: str, words: str, ordered: str) -> None:
    assert options_last(load_verb(verb), words.split()) == ordered.split()


@pytest.mark.parametrize("verb", VERBS)
def test_options_that_take_one_value_are_those_of_the_parser(verb: str) -> None:
    run = load_verb(verb)
    for flag in flags_of(run).values():
        takes_one = options_last(run, [flag, "a", "b"]) == ["b", flag, "a"]
        with pytest.raises(ConfigError) as raised:
            main.parse(verb, [flag, "--no-such-option"])
        assert takes_one == str(raised.value).startswith(f"{flag} "), flag


def test_an_option_between_two_recordings(ask: Ask, voices: Path) -> None:
    first, second = sorted(voices.rglob("*.ogg"))[:2]
    plain = ask("verify", first, second)
    assert plain.code == 0
    assert ask("verify", first, "--prior", 0.5, second) == plain
    assert ask("verify", "campplus-int8", "--prior", 0.5, first, "--exit-code", second) == plain
    assert ask("verify", first, "--prior", 0.5, "--", second) == plain
