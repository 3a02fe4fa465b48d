#!/usr/bin/env bash
# diarizationlm 0.1.5, numba 0.68.1, numpy 2.4.6, scipy 1.17.1
#
# Guess, written down before: cpWER is what its definition gives: the words of each speaker joined, speakers paired as is best,
# and who has no partner counted with all words.
# Seen: who has no partner is left out, the errors and the words by which they are divided. Of three people two were not heard
# at all: cpWER 0 %, by definition 64 %. A radio that comes out as a fourth speaker: 0 % instead of 20 %. One person taken for
# two: 16 % instead of 32 %, two for one: 39 % instead of 56 %, all for one: 178 % instead of 128 %, for what is left of the
# words is less. WER and WDER are right, and so is cpWER where the answer has the right number of speakers. Nothing is said.
# Who is hurt: whoever compares diarizers, or what a language model makes of their speakers, by it: a system that passes over
# soft speakers is perfect, a model that adds or drops speakers gains.
# What to do: meeteval's cpWER, or count all words of speakers without a partner as deleted or inserted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 scipy==1.17.1 numba==0.68.1 tqdm==4.70.1
"${pip[@]}" --no-deps diarizationlm==0.1.5 # its metrics need no language model
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import itertools
import random
import sys

from diarizationlm import metrics

numbers = random.Random(0)
WORDS = ["yes", "no", "then", "we", "went", "home", "and", "later", "she", "said", "that", "it", "rains", "again", "today"]
Said = list[tuple[str, int]]  # words and who says them


def distance(one: list[str], other: list[str]) -> int:
    """How many words are to be deleted, inserted or replaced."""
    row = list(range(len(other) + 1))
    for number, word in enumerate(one, 1):
        last, row[0] = row[0], number
        for place, second in enumerate(other, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (word != second))
    return row[-1]


def by_definition(reference: Said, answer: Said) -> float:
    """The least number of errors over all ways to pair speakers, where some have no partner, by words of the reference."""
    sides = [{speaker for _, speaker in said} for said in (reference, answer)]
    words = [{speaker: [word for word, who in said if who == speaker] for speaker in side}
             for said, side in zip((reference, answer), sides, strict=True)]
    size = max(map(len, sides))
    texts = [[*side.values(), *[[]] * (size - len(side))] for side in words]
    ways = itertools.permutations(texts[1])
    return min(sum(map(distance, texts[0], way)) for way in ways) / len(reference)


def measured(reference: Said, answer: Said) -> tuple[float, float]:
    """cpWER and WER."""
    text, speakers = (" ".join(str(part[place]) for part in reference) for place in (0, 1))
    answer_text, answer_speakers = (" ".join(str(part[place]) for part in answer) for place in (0, 1))
    one = {"utterance_id": "call", "ref_text": text, "ref_spk": speakers, "hyp_text": answer_text, "hyp_spk": answer_speakers}
    result = metrics.compute_metrics_on_json_dict({"utterances": [one]})
    return result["cpWER"], result["WER"]


def call(shares: list[float]) -> Said:
    """Turns of 20 words, of speakers 1, 2, ... by their shares."""
    speakers = numbers.choices(range(1, len(shares) + 1), shares, k=25)
    return [(numbers.choice(WORDS), speaker) for speaker in speakers for _ in range(20)]


metrics.tqdm.tqdm = lambda utterances: utterances  # no progress bar
reference = call([0.5, 0.3, 0.2])
radio = [(word, 4) for word, _ in call([1])[:100]]
answers = {
    "all right": reference,
    "speaker 3 is not heard": [(word, speaker) for word, speaker in reference if speaker != 3],
    "speakers 2 and 3 are not heard": [(word, speaker) for word, speaker in reference if speaker == 1],
    "a radio is a speaker, too": reference + radio,
    "speaker 1 is two people": [(word, 4 if speaker == 1 and place % 40 < 20 else speaker)
                                for place, (word, speaker) in enumerate(reference)],
    "speakers 2 and 3 are one": [(word, min(speaker, 2)) for word, speaker in reference],
    "all are one": [(word, 1) for word, _ in reference],
}
rates = {}
for name, answer in answers.items():
    found, plain = measured(reference, answer)
    rates[name] = found, by_definition(reference, answer)
    print(f"{name}: cpWER {found:.1%}, by definition {rates[name][1]:.1%}; WER {plain:.1%}")
ok = rates["all right"] == (0, 0)
ok &= all(found == 0 and true > 0.15 for found, true in list(rates.values())[1:4])
ok &= all(abs(found - true) > 0.1 for found, true in list(rates.values())[4:])
sys.exit(0 if ok else "the behavior has changed: speakers without a partner count")
PYTHON
