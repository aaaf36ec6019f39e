"""What a result is of, what its values mean, and how its intervals lie to what means nothing, in a few words."""

from __future__ import annotations

import re

from interp.number_words import counted, rounded
from interp.wording.result_facts import Against, Subject

MEANINGS = (
    (r"Recovery of ", "0 is the corrupted run, 1 the clean one"),
    (r"(macro )?AUC (beyond|above|minus)", "0 is nothing beyond that"),
    (r"(macro )?AUC( |$)", ".5 is chance, 1 is perfect"),
    (r"R² of ", "0 is guessing the mean, 1 is perfect"),
    (
        r".*rank of .*: (median, right ÷ wrong answers|quotient of medians)",
        "1 is no difference, below 1 the first rank further up",
    ),
    (r".*: difference of ", "0 is no difference, above 0 the first have more"),
    (r".*\brank of ", "1 is the top of the vocabulary"),
    (r"Change in ", "0 is no change"),
    (r"Mean contribution ", "0 is no contribution"),
    (r"median growth ", "1 is no growth"),
    (r".*\bKL ", "0 is the model's own output"),
)
"""For the beginning of each metric what its values mean; the first that fits."""


def meaning_of(metric: str) -> str:
    """What the values of a metric mean; an empty text where its name says all."""
    return next((meaning for pattern, meaning in MEANINGS if re.match(pattern, metric)), "")


def whose(subject: Subject) -> str:
    """Of which model and of which questions, or of which text; an empty text where the result does not say."""
    if not subject.model:
        return ""
    text = f" on the text '{subject.text}'" if subject.text else ""
    return f"of {subject.model}{f' on {subject.dataset}' if subject.dataset else text}"


def against_words(it: Against) -> str:
    """How intervals lie to the value that means nothing."""
    total = counted(it.above + it.below + it.containing, "interval")
    above = f"{it.above:,} lie above {rounded(it.reference)}"
    return f"of {total}, {above}, {it.below:,} below it, {it.containing:,} contain it"
