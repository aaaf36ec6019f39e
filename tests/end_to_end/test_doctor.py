"""The check-up before an expensive run, on the real small model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyses import cli

FLAGS = ["--sample", "8", "--max-new-tokens", "24", "--dtype", "float32"]


def test_a_sound_set_passes_and_every_position_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--n", "200", "--positions=first_q,subject_last,last_q,exact_answer_first,-1"]
    assert cli.main(["doctor", *FLAGS, *flags]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^'In which country is the city of .*'  gold: ", printed, flags=re.MULTILINE)) == 5
    assert len(re.findall(r"^ +\d+ +'In' +first_q$", printed, flags=re.MULTILINE)) == 5
    assert len(re.findall(r"^ +\d+ │ '.*' +-1$", printed, flags=re.MULTILINE)) == 5
    assert re.search(r"^ +\d+ █ '.*exact_answer_first", printed, flags=re.MULTILINE)
    assert re.search(r"^subject_last +8 ", printed, flags=re.MULTILINE)
    assert "The sample: 8 of 200 questions" in printed
    assert re.search(r"about \d+ MB of activations", printed)
    assert list(tmp_path.iterdir()) == [], "a check-up leaves nothing behind"


def test_a_set_that_no_probe_can_use_stops(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = [f"q{i},What is the capital of France? ({i}),Xanadu" for i in range(10)]
    (tmp_path / "odd.csv").write_text("\n".join(["id,question,answer", *rows]))
    assert cli.main(["doctor", *FLAGS, "--dataset", str(tmp_path / "odd.csv"), "--n", "10"]) == 1
    assert "STOP: no exact answer found in any of 8 answers; " in capsys.readouterr().out


def test_a_broken_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "broken.csv").write_text("query,answer\nWho?,me\n")
    assert cli.main(["doctor", *FLAGS, "--dataset", str(tmp_path / "broken.csv"), "--n", "1"]) == 2
    assert "question" in capsys.readouterr().err.strip().splitlines()[-1]
