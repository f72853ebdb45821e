"""What was learnt from the administrator's recordings, on disk, so that the next start need not learn it again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import structlog
from torch import Tensor

from engine.errors import first_line

log = structlog.get_logger(__name__)


class KeptVoices:
    """Speaker embeddings and codes by the recording's digest, of one checkpoint. They take 6 to 30 KB each."""

    def __init__(self, folder: Path, checkpoint: str) -> None:
        """`checkpoint` tells it from others: what one has learnt means nothing to another."""
        self._folder = folder
        self._checkpoint = checkpoint

    def get(self, digest: str) -> tuple[Tensor, Tensor | None] | None:
        """Returns a recording's embedding and codes; None where they are not known."""
        from safetensors.torch import load_file

        try:
            found = load_file(self._path(digest))
            return found["embedding"], found.get("codes")
        except FileNotFoundError:
            return None
        except Exception as error:  # a file that is none: it is learnt again, and written anew
            log.warning("a learnt voice cannot be read", error=first_line(error))
            return None

    def put(self, digest: str, embedding: Tensor, codes: Tensor | None) -> None:
        """Keeps them. A folder that cannot be written costs the next start its learning, nothing else."""
        from safetensors.torch import save

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = {"embedding": embedding} | ({} if codes is None else {"codes": codes})
            with tempfile.TemporaryDirectory(dir=self._folder) as beside:  # what is half written goes with it
                written = Path(beside, "voice")
                written.touch(mode=0o600)
                written.write_bytes(save({name: tensor.contiguous() for name, tensor in found.items()}))
                os.replace(written, self._path(digest))
        except OSError as error:
            log.warning("cannot keep what was learnt", error=str(error))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{hashlib.sha256(f'{self._checkpoint} {digest}'.encode()).hexdigest()}.safetensors"
