"""The cases of a file under tests/vectors: one a line, white space counts; empty and `#` lines are none."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "vectors"


def cases(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.txt").read_text("utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#")]
