"""The process in which Qwen3-TTS runs: commands on standard input, events on standard output, one thread for the model.

It is a process of its own so that ending it frees every byte of GPU memory, that a fault of the GPU, which nothing
within a process can clear, costs no call its line, and that Python's lock is never held while a call's frame is due.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import structlog
import torch

from engine.child import Log, connect, read, send_logs
from engine.errors import first_line
from engine.qwen3.messages import Event, NotReady
from engine.qwen3.sound_message import packed
from engine.qwen3.worker.build import build
from engine.qwen3.worker.outbox import Outbox
from engine.qwen3.worker.worker import Worker
from engine.speech import SpeechError

log = structlog.get_logger(__name__)

# Libraries that log their defaults, and the lack of a program (sox) that is not used here, at every start.
CHATTY: Final = ("qwen_tts", "sox", "transformers")

# Imports take most of a start, so they come first, while perhaps nobody has asked for a model yet. Upstream's package
# is not among them: it takes longer than all others together, and only an unknown recording needs it.
IMPORTED: Final = ("safetensors", "tokenizers", *(("engine.qwen3.cuda.graph_runner",) if torch.version.cuda else ()))


def serve(commands: BinaryIO, events: BinaryIO) -> None:
    """Works until `commands` ends. The first message holds the settings."""
    with Outbox(events) as outbox:
        _serve(commands, outbox)


def _serve(commands: BinaryIO, outbox: Outbox) -> None:
    def send(batch: Iterable[Event | Log]) -> None:
        now_s = time.monotonic()
        if data := b"".join(packed(message, now_s) for message in batch):
            outbox.put(data)

    send_logs(lambda line: send([line]), CHATTY)
    for name in IMPORTED:
        with contextlib.suppress(Exception):  # whatever a package raises: whoever needs it tries again, and says so
            importlib.import_module(name)
    settings = read(commands)
    if settings is None:
        return
    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        while (command := read(commands)) is not None:
            arrived.put(command)
        arrived.put(None)

    try:
        worker = Worker(build(settings), send)
    except SpeechError as error:
        send([NotReady(str(error))])
        return
    except Exception as error:
        log.exception("the model could not be made ready")
        send([NotReady(f"the model could not be made ready: {first_line(error)}")])
        return
    gc.collect()
    gc.freeze()  # the model stays; a collection that walked it all would hold up a frame by a tenth of a second
    threading.Thread(target=receive, name="commands", daemon=True).start()
    try:
        while True:
            try:
                # Whatever has arrived is taken in before the next frame: a cancelled call costs not one more.
                command = arrived.get(timeout=worker.patience_s) if worker.patience_s else arrived.get_nowait()
                if command is None:
                    return
                worker.handle(command)
            except queue.Empty:
                worker.turn()
    finally:
        worker.close()


def main() -> None:
    """Runs the process, on its standard input and output."""
    with contextlib.suppress(BrokenPipeError):
        serve(*connect())


if __name__ == "__main__":
    main()
