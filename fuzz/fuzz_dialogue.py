"""The YAML of a dialogue: one line says what is wrong, or else a caller can say and press whatever they like."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run

with instrumented(__name__, "bridge.brains.script", "bridge.brains.yaml_file", "bridge.turns.words"):
    from bridge.brains.brain import Say
    from bridge.brains.script import DEFAULT_SCRIPT, ScriptBrain, load_script

SEEDS: Final = (
    DEFAULT_SCRIPT.read_bytes(),
    b"""start: hello
steps:
  hello:
    say: [Hello {name}., Good day.]
    interruptible: false
    max_tries: 2
    answers:
      - {match: [book, "*"], goto: book}
      - {dtmf: "1#", say: Fine., transfer: "sales,s,1"}
    otherwise: {say: Sorry?}
    silence: {say: Hello?, hangup: true}
  book: {say: Booked.}
anywhere:
  - {match: [bye], say: Bye., hangup: true}
""",
    b"steps: {start: &a {say: x, answers: [{match: ['*'], goto: start}]}, more: *a}\n",
)
CALLER: Final = ("book", "*", "", "hello?", "bye", "1", "\u4f60\u597d")
KEYS: Final = ("1", "#", "0", "*")


def check(data: bytes) -> None:
    with NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(data)
        file.flush()
        try:
            script = load_script(Path(file.name))
        except ValueError as error:
            assert str(error).startswith(file.name)
            assert "\n" not in str(error)
            return
    run(_talk(ScriptBrain(script, {"name": "Ann"}, seed=1)))


async def _talk(brain: ScriptBrain) -> None:
    said = [piece async for piece in brain.greet()]
    for words in CALLER:
        said += [piece async for piece in brain.answer(words)]
        brain.heard("", interrupted=True)
    for key in KEYS:
        said += [piece async for piece in brain.pressed(key)]
    said += [piece async for piece in brain.silence()]
    said += [piece async for piece in brain.misheard()]
    said += [piece async for piece in ScriptBrain(brain._script).go_on(brain.memory(), "", "again")]
    assert all(piece.text.strip() for piece in said if isinstance(piece, Say))


if __name__ == "__main__":
    fuzz(check, SEEDS)
