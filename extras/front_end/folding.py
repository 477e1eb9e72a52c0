"""Fold a musicnn network: remove its dead filters and build a Keras network that computes the same values.

The kernel of a dead filter is zero, or nearly zero compared with the other kernels of its layer. Its output is a
constant. The next convolution pads its input with zeros, so it sees the constant inside and 0 outside. One channel of
ones, padded in the same way, carries the constants of all dead filters of a layer. Batch normalisation becomes a scale
and an offset per channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers

FRAMES, BANDS = 187, 96
DEAD = 1e-3  # a filter is dead if its norm is below this fraction of the layer's largest norm
EPSILON = 1e-3  # of batch normalisation in TensorFlow 1


@dataclass
class Convolution:
    """A convolution of the original: `scale * relu(convolution + bias) + offset`.

    `live` are the indices of the filters that respond to the input, `constant` is the output of the dead ones.
    """

    kernel: np.ndarray  # (frames, bands or channels, filters)
    bias: np.ndarray  # (filters,)
    scale: np.ndarray
    offset: np.ndarray

    def __post_init__(self):
        norms = np.linalg.norm(self.kernel, axis=(0, 1))
        alive = norms >= DEAD * norms.max()
        self.live = np.flatnonzero(alive)
        self.constant = np.where(alive, 0, self.scale * np.maximum(self.bias, 0) + self.offset)


def read_convolutions(variables: dict[str, np.ndarray]) -> list[Convolution]:
    """Collect the eight convolutions of a network from its variables."""
    names = ["conv2d"] + [f"conv2d_{i}" for i in range(1, 8)]
    return [
        Convolution(variables[f"{name}/kernel"][:, :, 0], variables[f"{name}/bias"], *batch_norm(variables, i + 1))
        for i, name in enumerate(names)
    ]


def batch_norm(variables: dict[str, np.ndarray], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and the offset that a batch normalisation applies at inference."""
    name = f"batch_normalization_{number}" if number else "batch_normalization"
    scale = variables[f"{name}/gamma"] / np.sqrt(variables[f"{name}/moving_variance"] + EPSILON)
    return scale, variables[f"{name}/beta"] - scale * variables[f"{name}/moving_mean"]


def channels(convolutions: list[Convolution]) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the original's 753 pooled channels that are kept, in the order of the folded network.

    Also returns the values of the removed channels, (753,), 0 for those kept.
    """
    starts = np.cumsum([0] + [len(c.bias) for c in convolutions])
    live = [start + c.live for start, c in zip(starts[:6], convolutions[:6], strict=True)]
    kept = np.concatenate([*live, starts[6] + mid_order(convolutions), starts[7] + mid_order(convolutions)])
    constant = np.concatenate([c.constant for c in convolutions[:6]] + [np.zeros(128)])
    return kept, constant


def mid_order(convolutions: list[Convolution]) -> np.ndarray:
    """Order the 64 mid-end channels so that the live ones of the first mid-end convolution come first."""
    live = convolutions[5].live
    return np.concatenate([live, np.setdiff1d(np.arange(64), live)])


def pooled_indices(convolutions: list[Convolution]) -> np.ndarray:
    """Return where the folded network's pooled values are in the original's vector of 1506.

    The original has maximum and mean of each channel in turn, the folded network all maxima, then all means.
    """
    kept, _ = channels(convolutions)
    return np.concatenate([2 * kept, 2 * kept + 1])


class Builder:
    """Apply layers to Keras tensors and remember their weights. Each layer's name starts with the network's name."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.weights: dict[str, list[np.ndarray]] = {}

    def __call__(
        self, layer: type, name: str, inputs: Any, *args: Any, weights: Sequence[np.ndarray] = (), **options: Any
    ) -> keras.KerasTensor:
        """Apply a new layer. Its `weights` are set when the model is complete."""
        name = f"{self.prefix}_{name}"
        self.weights[name] = list(weights)
        return layer(*args, name=name, **options)(inputs)

    def scale(
        self, name: str, x: keras.KerasTensor, scale: np.ndarray, offset: np.ndarray, **options: Any
    ) -> keras.KerasTensor:
        """Multiply each channel by its scale and add its offset."""
        options["depthwise_initializer"] = "ones"
        return self(layers.DepthwiseConv1D, name, x, 1, weights=(scale[None, :, None], offset), **options)


def front(
    build: Builder, window: keras.KerasTensor, variables: dict[str, np.ndarray], convolutions: list[Convolution]
) -> keras.KerasTensor:
    """Add the convolutions on the spectrogram, and return their result of shape (187, live filters).

    The maximum over the bands is computed before ReLU and scale, because these do not change which band has it. Filters
    with a negative scale need the minimum instead: their kernels change sign, and so does the maximum.
    """
    scale, offset = (float(value[0]) for value in batch_norm(variables, 0))
    x = build(layers.Rescaling, "normalised", window, scale, offset)
    x = build(layers.Reshape, "image", x, (FRAMES, BANDS, 1))
    groups = convolutions[:5]
    signs = [np.where(c.scale[c.live] < 0, -1.0, 1.0) for c in groups]
    pooled = [front_filters(build, x, c, sign) for c, sign in zip(groups, signs, strict=True)]
    x = build(layers.Concatenate, "filters", pooled)
    bias, scale, offset = (
        np.concatenate([getattr(c, key)[c.live] for c in groups]) for key in ("bias", "scale", "offset")
    )
    x = build.scale("filters_relu", x, np.concatenate(signs), bias, activation="relu")
    return build.scale("front", x, scale, offset)


def front_filters(
    build: Builder, x: keras.KerasTensor, convolution: Convolution, sign: np.ndarray
) -> keras.KerasTensor:
    """Add one of the five groups of filters: convolution, then the maximum over the bands."""
    frames, bands, _ = convolution.kernel.shape
    kernel = sign * convolution.kernel[:, :, None, convolution.live]
    name = f"{frames}x{bands}"
    padding = (((frames - 1) // 2, frames // 2), (0, 0))
    x = build(layers.ZeroPadding2D, f"{name}_padded", x, padding)
    x = build(layers.Conv2D, name, x, len(sign), (frames, bands), use_bias=False, weights=[kernel])
    x = build(layers.MaxPooling2D, f"{name}_maximum", x, (1, x.shape[2]))
    return build(layers.Reshape, f"{name}_flat", x, (FRAMES, len(sign)))


def middle(build: Builder, x: keras.KerasTensor, ones: keras.KerasTensor, convolutions: list[Convolution]) -> list:
    """Add the three convolutions of the mid-end with their residual connections, and return the three results.

    The first one has few live filters. Their channels come first in the two others, so that the residual connection can
    add them after padding with channels of zeros. The constants of its dead filters are added to the offset of the
    second.
    """
    first, second, third = convolutions[5:]
    order, live, kept = mid_order(convolutions), first.live, channels(convolutions)[0]
    constant = np.concatenate([c.constant for c in convolutions[:5]])
    kernel = with_ones(first.kernel, kept[: x.shape[2]], constant)[..., live]
    y1 = mid_filters(build, "mid_1", [x, ones], kernel, first, live)
    kernel = with_ones(second.kernel, live, first.constant)[..., order]
    second = replace(second, offset=second.offset + first.constant)
    y2 = mid_filters(build, "mid_2", [y1, ones], kernel, second, order)
    y2 = build(layers.Add, "mid_2_residual", [y2, pad_channels(build, y1, 64)])
    y3 = mid_filters(build, "mid_3", [y2], third.kernel[:, order][..., order], third, order)
    return [y1, y2, build(layers.Add, "mid_3_residual", [y3, y2])]


def with_ones(kernel: np.ndarray, kept: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Reduce a kernel to the input channels kept, and add one for the channel of ones that carries the constants."""
    return np.concatenate([kernel[:, kept], np.einsum("tcf,c->tf", kernel, constant)[:, None]], axis=1)


def mid_filters(
    build: Builder, name: str, inputs: list, kernel: np.ndarray, convolution: Convolution, kept: np.ndarray
) -> keras.KerasTensor:
    """Add a mid-end convolution, its ReLU and its scale."""
    x = build(layers.Concatenate, f"{name}_input", inputs) if len(inputs) > 1 else inputs[0]
    weights, options = [kernel, convolution.bias[kept]], {"padding": "same", "activation": "relu"}
    x = build(layers.Conv1D, f"{name}_relu", x, len(kept), len(kernel), weights=weights, **options)
    return build.scale(name, x, convolution.scale[kept], convolution.offset[kept])


def pad_channels(build: Builder, x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    """Add channels of zeros behind the channels of a tensor of shape (187, channels)."""
    frames, used = x.shape[1:]
    x = build(layers.Reshape, "mid_1_image", x, (frames, used, 1))
    x = build(layers.ZeroPadding2D, "mid_1_padded", x, ((0, 0), (0, number - used)))
    return build(layers.Reshape, "mid_1_all", x, (frames, number))


def back(build: Builder, features: list, variables: dict[str, np.ndarray], convolutions: list[Convolution]) -> dict:
    """Add pooling over time, the dense layer and the tags."""
    x = build(layers.Concatenate, "features", features)
    maximum = build(layers.GlobalMaxPooling1D, "maximum", x)
    mean = build(layers.GlobalAveragePooling1D, "mean", x)
    pooled = build(layers.Concatenate, "pooled", [maximum, mean])
    weights = dense_weights(variables, convolutions)
    x = build(layers.Dense, "dense_relu", pooled, 200, activation="relu", weights=weights)
    x = build(layers.Reshape, "dense_row", x, (1, 200))
    x = build.scale("dense_scale", x, *batch_norm(variables, 10))
    penultimate = build(layers.Reshape, "penultimate", x, (200,))
    weights = [variables["dense_1/kernel"], variables["dense_1/bias"]]
    tags = build(layers.Dense, "tags", penultimate, 50, activation="sigmoid", weights=weights)
    return {"penultimate": penultimate, "tags": tags, "pooled": pooled}


def dense_weights(variables: dict[str, np.ndarray], convolutions: list[Convolution]) -> list[np.ndarray]:
    """Fold the normalisation of the pooled values and the removed channels into the dense layer."""
    scale, offset = batch_norm(variables, 9)
    constant = np.repeat(channels(convolutions)[1], 2)  # the maximum and the mean of a constant
    kernel = variables["dense/kernel"]
    bias = variables["dense/bias"] + (scale * constant + offset) @ kernel
    return [(scale[:, None] * kernel)[pooled_indices(convolutions)], bias]


def build_model(networks: dict[str, dict[str, np.ndarray]], outputs: list[str]) -> keras.Model:
    """Build the folded networks as one Keras model, from windows, (n, 187, 96), to the named outputs, in this order.

    `networks` contains the variables of each network; outputs are named like `mtt_tags`.
    """
    window = keras.Input((FRAMES, BANDS), name="window")
    shared = Builder("shared")
    constant = {"kernel_initializer": "zeros", "bias_initializer": "ones", "trainable": False}
    ones = shared(layers.Conv1D, "ones", window, 1, 1, weights=[np.zeros((1, BANDS, 1)), np.ones(1)], **constant)
    tensors, weights = {}, shared.weights
    for name, variables in networks.items():
        build, convolutions = Builder(name), read_convolutions(variables)
        x = front(build, window, variables, convolutions)
        parts = back(build, [x, *middle(build, x, ones, convolutions)], variables, convolutions)
        tensors |= {f"{name}_{part}": tensor for part, tensor in parts.items()}
        weights |= build.weights
    model = keras.Model(window, [tensors[name] for name in outputs], name="front_end")
    for layer in model.layers:
        layer.set_weights(weights.get(layer.name, []))
    return model
