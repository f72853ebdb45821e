"""Converts the matrices of a loaded model; the engine itself converts each one as it loads it."""

from __future__ import annotations

from dataclasses import replace

from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.weights import Convert, StackWeights


def convert(model: FrameModel, how: Convert) -> FrameModel:
    """Returns the model with every layer's matrices replaced by `how(matrix)`."""
    talker = replace(model.talker, stack=_converted(model.talker.stack, how))
    predictor = replace(model.predictor, stack=_converted(model.predictor.stack, how))
    return replace(model, talker=talker, predictor=predictor)


def _converted(stack: StackWeights, convert: Convert) -> StackWeights:
    layers = tuple(
        replace(
            layer,
            qkv=convert(layer.qkv),
            o=convert(layer.o),
            gate_up=convert(layer.gate_up),
            down=convert(layer.down),
        )
        for layer in stack.layers
    )
    return replace(stack, layers=layers)
