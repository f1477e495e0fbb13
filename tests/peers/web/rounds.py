"""SHA-1's compression as the minter has it: eighty rounds in a row, without a loop.

In this form a browser computes it more than twice as fast as with loops over an array.
Nobody types eighty rounds: `python -m tests.peers.web.rounds` writes them into
miner.js, and a test looks whether they are still those.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

MINER = Path(str(resources.files("postmand.web"))) / "static" / "miner.js"

_BEGIN = "  // Eighty rounds (written by tests/peers/web/rounds.py).\n"
_END = "  // The rounds end.\n"
# FIPS 180-4 4.1.1 and 4.2.1, the constants as signed numbers.
_CHOICE = "{d} ^ ({b} & ({c} ^ {d}))"
_PARITY = "{b} ^ {c} ^ {d}"
_MAJORITY = "({b} & {c}) | ({d} & ({b} | {c}))"
_STAGES = (
    (_CHOICE, 0x5A827999),
    (_PARITY, 0x6ED9EBA1),
    (_MAJORITY, 0x8F1BBCDC - 2**32),
    (_PARITY, 0xCA62C1D6 - 2**32),
)
_ROUND = "{e} = (((({a} << 5) | ({a} >>> 27)) + ({f}) + {e} {k}) | 0) + w{t} | 0;"
_TURN = "{b} = ({b} << 30) | ({b} >>> 2);"
# FIPS 180-4 6.1.3: a schedule of sixteen words, each made anew when it was used.
_WORD = "x = w{i} ^ w{j} ^ w{k} ^ w{t}; w{t} = (x << 1) | (x >>> 31);"


def rounds() -> str:
    """Return the rounds, over the variables a to e, w0 to w15 and x."""
    return "".join(f"  {_round(t)}\n" for t in range(80))


def _round(t: int) -> str:
    names = dict(zip("abcde", ("abcde"[(at - t) % 5] for at in range(5)), strict=True))
    function, constant = _STAGES[t // 20]
    text = ""
    if t >= 16:
        at = {"i": t - 3, "j": t - 8, "k": t - 14, "t": t}
        text = _WORD.format(**{key: one % 16 for key, one in at.items()}) + " "
    k = f"{'+-'[constant < 0]} {abs(constant):#x}"
    text += _ROUND.format(**names, f=function.format(**names), k=k, t=t % 16)
    return f"{text} {_TURN.format(**names)}"


def parts(text: str) -> tuple[str, str, str]:
    """Return what is before the rounds, the rounds, and what is after them."""
    before, _, rest = text.partition(_BEGIN)
    inside, _, after = rest.partition(_END)
    return before + _BEGIN, inside, _END + after


if __name__ == "__main__":
    before, _, after = parts(MINER.read_text())
    MINER.write_text(before + rounds() + after)
