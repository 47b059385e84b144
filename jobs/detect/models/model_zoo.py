"""The models that can be named instead of given by path, and the families that are installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

#: Entry-point group of detector families; another package adds its own by declaring one.
ENTRY_POINT_GROUP = "manyeyes.detectors"


@dataclass(frozen=True, slots=True)
class NamedModel:
    """One file that is downloaded on first use and kept only if its digest is this one."""

    name: str
    url: str
    sha256: str
    bytes: int
    description: str

    @property
    def filename(self) -> str:
        """Its name in the cache folder and on a mirror."""
        return self.url.rsplit("/", 1)[1]


#: Digests are those of the OpenCV model zoo's Git LFS pointers.
MODELS = (
    NamedModel(
        name="yolox-s",
        url="https://huggingface.co/opencv/object_detection_yolox/resolve/main/object_detection_yolox_2022nov.onnx",
        sha256="c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
        bytes=35_858_002,
        description="YOLOX-S at 640x640, the 80 classes of COCO; accurate, and slow on a processor (Apache-2.0)",
    ),
    NamedModel(
        name="nanodet",
        url="https://huggingface.co/opencv/object_detection_nanodet/resolve/main/object_detection_nanodet_2022nov.onnx",
        sha256="4b82da9944b88577175ee23a459dce2e26e6e4be573def65b1055dc2d9720186",
        bytes=3_800_954,
        description="NanoDet-m at 416x416, the 80 classes of COCO; small and fast (Apache-2.0)",
    ),
)

#: What the families that come with manyeyes are, for a listing that loads no engine.
BUILT_IN = {
    "hog": "standing pedestrians, OpenCV; nothing to download",
    "cascade": "frontal faces, OpenCV; nothing to download",
    "onnx": "any detector in an .onnx file, on ONNX Runtime",
    "darknet": "any YOLO in .cfg and .weights files, on OpenCV",
}


def named(name: str) -> NamedModel | None:
    return next((model for model in MODELS if model.name == name), None)


def families() -> tuple[str, ...]:
    """Names of all installed families, sorted, without loading any: no engine is imported."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))
