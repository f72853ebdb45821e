"""Speaks the model process's protocol without a model, and does what the texts say.

"silent" says nothing, "crash" ends the process, "fail" fails, "refuse" finds no place; "pause" sends a piece, then
nothing more. Any other text gets as many pieces of PCM as it has words. argv: "broken" cannot load, "mute" loads and
never beats, "narrow" keeps up with one sentence at a time.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import Any

from engine.child import LENGTH, Log, pack, read
from engine.qwen3.messages import (
    Audio,
    Beat,
    Cancel,
    Event,
    Failed,
    Forget,
    Learn,
    Learned,
    NotReady,
    Prime,
    Ready,
    Refused,
    Speak,
)

PIECE = b"\x01\x00" * 1920


def main() -> None:
    modes = sys.argv[1:]
    out = os.fdopen(os.dup(1), "wb")
    lock = threading.Lock()

    def send(*events: Event | Log) -> None:
        with lock:
            out.write(b"".join(map(pack, events)))
            out.flush()

    (length,) = LENGTH.unpack(sys.stdin.buffer.read(LENGTH.size))
    sys.stdin.buffer.read(length)  # the settings: to unpickle them would take longer than all the rest
    if "broken" in modes:
        return send(NotReady("MODEL_ID=nowhere: there is no such folder"))
    kind = next((mode for mode in modes if mode in ("base", "custom_voice", "voice_design")), "custom_voice")
    allocator = {name: value for name, value in os.environ.items() if name.endswith("ALLOC_CONF")}
    facts = {"device": "fake", "pid": os.getpid(), "allocator": allocator}
    facts |= {"capacity": 1} if "narrow" in modes else {}
    send(Log(20, "model", "loaded", {}), Ready(kind, True, facts, ("a warning",)))
    commands: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        while True:
            commands.put(command := read(sys.stdin.buffer))
            if command is None:
                return

    threading.Thread(target=receive, daemon=True).start()
    seen: list[Any] = []
    known: set[str] = set()
    while True:
        try:
            command = commands.get(timeout=0.02)
        except queue.Empty:
            if "mute" not in modes:
                send(Beat(facts | {"seen": list(seen), "known": sorted(known)}))
            continue
        match command:
            case None:
                return None
            case Speak(number, text):
                seen.append(command)
                if text == "crash":
                    os._exit(70)
                elif text == "refuse":
                    send(Refused(number))
                elif text == "fail":
                    send(Failed(number, "out of ideas"))
                elif text == "pause":
                    send(Audio(number, PIECE))
                elif text != "silent":
                    send(*(Audio(number, PIECE) for _ in text.split()), Audio(number, b"", "spoken"))
            case Cancel() | Prime():
                seen.append(command)
            case Learn(key, pcm):
                if len(pcm) < 100:
                    send(Learned(key, "the recording cannot be used"))
                else:
                    known.add(key)
                    send(Learned(key))
            case Forget(key):
                known.discard(key)


if __name__ == "__main__":
    main()
