#!/bin/bash -eu
# OSS-Fuzz runs this in its image: one program for each harness, and its seeds in a zip file beside it.
cd "$SRC/talkspurt"
# atheris is in the image, so of the tests' packages only those of the server are installed, each by its hash.
pip3 install --no-deps --require-hashes --requirement requirements/server.txt
for harness in fuzz/fuzz_*.py; do
  compile_python_fuzzer "$harness" --paths "$SRC/talkspurt" --collect-all stream2sentence --collect-data py3langid
done
python3 -m fuzz.seed_corpora "$OUT"
