"""Every transcript of this directory, at every pace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogues.stage import PACES
from tests.dialogues.transcript import MismatchError, Play

HERE = Path(__file__).parent
TRANSCRIPTS = sorted(HERE.glob("*.txt"))


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, pace: str, tmp_path: Path) -> None:
    """The server says what the transcript says, however the octets arrive."""
    Play(path, tmp_path, pace).run()


@pytest.mark.parametrize(
    "text",
    [
        "session smtp\ns: 220 other",
        "session smtp\ns~ 220\ns~ 250",
        "session smtp\ns~ 220\nclosed",
        "session smtp\nquiet",
        "members a\nsession pop3\ns~ +OK\nkept a 1",
        "session smtp\nsays nothing",
    ],
)
def test_a_wrong_transcript_fails(text: str, tmp_path: Path) -> None:
    """The runner itself can fail."""
    path = tmp_path / "wrong.txt"
    path.write_text(text)
    with pytest.raises(MismatchError):
        Play(path, tmp_path, "prompt").run()
