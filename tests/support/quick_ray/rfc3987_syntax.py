"""Stands before the package of this name in the processes of a Ray that tests start.

That package compiles a grammar when it is imported: two seconds of a core, in each of ten processes, of which Ray gives
up the first two when they take 15 s. jsonschema, which Ray loads and never asks about addresses, does without it.
"""

raise ImportError("tests do without it")
