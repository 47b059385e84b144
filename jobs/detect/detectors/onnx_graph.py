"""Runs an ONNX graph: what its inputs want, however they are laid out, and what its outputs give. Knows no boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from common.errors import ModelError
from jobs.detect.heads.base import Extra, Size

#: What a graph is given: the image's tensor, or by its name every input where there are more.
Feeds = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
_DTYPES: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_PIXELS = ("tensor(float)", "tensor(float16)", "tensor(uint8)")
#: Inputs beside the image, by their exporters' names: RT-DETR, D-FINE and DEIM; PaddleDetection.
_EXTRAS: dict[str, Extra] = {
    "orig_target_sizes": "image size",
    "target_sizes": "image size",
    "orig_size": "image size",
    "orig_sizes": "image size",
    "scale_factor": "scale",
    "im_shape": "network size",
}


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The input that takes the image."""

    name: str
    dtype: npt.DTypeLike
    layout: Literal["NCHW", "NHWC"]
    #: How many images it takes at once; 1 where it takes any number.
    batch: int
    channels: int
    #: (height, width); None for a side that may be any.
    sides: tuple[int | None, int | None]

    def fill(self, planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(1, channels, height, width) as the graph takes it: laid out its way, first of an otherwise black batch."""
        tensor = planes if self.layout == "NCHW" else np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        if self.batch == 1:
            return tensor
        batch = np.zeros((self.batch, *tensor.shape[1:]), tensor.dtype)
        batch[0] = tensor[0]
        return batch


@dataclass(frozen=True, slots=True)
class ExtraInput:
    """An input of two numbers beside the image. `swapped`: the image's size as height, width, not width, height."""

    name: str
    dtype: npt.DTypeLike
    kind: Extra
    swapped: bool = False

    def value(self, image: Size, network: Size, batch: int) -> npt.NDArray[Any]:
        """(batch, 2). Sizes are (height, width); but for the image's, exporters take the height first."""
        if self.kind == "image size":
            pair: tuple[float, float] = image if self.swapped else image[::-1]
        elif self.kind == "scale":
            pair = (network[0] / image[0], network[1] / image[1])
        else:
            pair = network
        return np.tile(np.array(pair, self.dtype), (batch, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A session, its inputs, and the names of the outputs that are wanted."""

    session: Any
    image: ImageInput
    extras: tuple[ExtraInput, ...]
    outputs: tuple[str, ...]

    @property
    def kinds(self) -> frozenset[Extra]:
        return frozenset(extra.kind for extra in self.extras)

    def feeds(self, planes: npt.NDArray[Any], image: Size) -> Feeds:
        """`planes`: (1, channels, height, width) of network pixels; `image`: (height, width) of the picture."""
        tensor = self.image.fill(planes)
        if not self.extras:
            return tensor
        network = (planes.shape[2], planes.shape[3])
        others = {extra.name: extra.value(image, network, self.image.batch) for extra in self.extras}
        return {self.image.name: tensor, **others}

    def run(self, feeds: Feeds) -> list[npt.NDArray[np.float32]]:
        inputs = dict(feeds) if isinstance(feeds, Mapping) else {self.image.name: feeds}
        outputs = self.session.run(list(self.outputs), inputs)
        return [out if out.dtype == np.float32 else out.astype(np.float32) for out in outputs]

    def only(self, order: Sequence[int]) -> Graph:
        """The same graph, giving these of its outputs in this order."""
        return replace(self, outputs=tuple(self.outputs[index] for index in order))

    def swapped(self) -> Graph:
        """The same graph, told the image's size the other way round."""
        return replace(self, extras=tuple(replace(extra, swapped=not extra.swapped) for extra in self.extras))


def inspect(session: Any, file: str) -> Graph:
    """Raises ModelError for inputs that are no image of one or three channels, or that nothing is known of."""
    inputs = session.get_inputs()
    images = [one for one in inputs if len(one.shape) == 4 and one.type in _PIXELS]
    took = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs) or "nothing"
    if len(images) != 1:
        raise ModelError(f"{file} is not a detector: it takes {took}, not one 1x3xHxW image of floats or bytes")
    image = _image(images[0], file)
    extras = []
    for one in inputs:
        if one is images[0]:
            continue
        kind = _EXTRAS.get(one.name.lower().rsplit("/", 1)[-1].split(":")[0])
        if kind is None or len(one.shape) != 2 or one.shape[1] != 2 or one.type not in _DTYPES:
            known = ", ".join(_EXTRAS)
            raise ModelError(
                f"{file} takes {took}: what it wants as {one.name} is not known here; export it with the image alone, "
                f"or with one of {known} of shape 1x2"
            )
        extras.append(ExtraInput(one.name, _DTYPES[one.type], kind))
    return Graph(session, image, tuple(extras), tuple(out.name for out in session.get_outputs()))


def _image(one: Any, file: str) -> ImageInput:
    batch, *rest = one.shape
    # TensorFlow's exporters put the channels last.
    layout: Literal["NCHW", "NHWC"] = "NHWC" if rest[2] in (1, 3) and rest[0] not in (1, 3) else "NCHW"
    channels, height, width = rest if layout == "NCHW" else (rest[2], rest[0], rest[1])
    if isinstance(channels, int) and channels not in (1, 3):
        raise ModelError(f"{file} takes images of {channels} channels {one.shape}; pictures have three, or one of grey")
    return ImageInput(
        name=one.name,
        dtype=_DTYPES[one.type],
        layout=layout,
        batch=batch if isinstance(batch, int) and batch > 0 else 1,
        channels=channels if isinstance(channels, int) else 3,
        sides=(height if isinstance(height, int) else None, width if isinstance(width, int) else None),
    )
