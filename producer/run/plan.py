"""What the user asked for and what the detector can do in, a spec out; or one line that says why not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from common.errors import UsageError
from common.images.scale import Scale
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS, MAX_SIDE
from common.protocol.detector_info import DetectorInfo, whole_cells
from common.protocol.spec import Spec
from jobs.detect.models import detector_names
from jobs.detect.models.detector_names import DetectorText

#: Scores from here up are stored. YOLOX-nano on 100 COCO photographs: AP .3587 with a floor of .05, .3623 with .01
#: (49 boxes an image), .3636 with .001 (150 boxes an image).
DEFAULT_FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class DetectionChoices:
    """The options that decide which boxes there are; None: the detector's own default."""

    conf: float | None = None
    iou: float | None = None
    imgsz: str | None = None
    classes: str | None = None
    max_det: int = 300
    floor: float | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    limit: int | None = None
    image_timeout: float = DEFAULT_IMAGE_TIMEOUT_S
    scale: str | None = None
    exclude: tuple[str, ...] = ()


def absolute_detector(text: str) -> str:
    """The same detector whatever folder `resume` is typed in. Raises ModelError for what can be no detector."""
    return detector_names.one(text).absolute()


def absolute_detectors(text: str) -> str:
    """The same for several, separated by commas."""
    return ",".join(DetectorText.parse(one).absolute() for one in detector_names.split(text))


def absolute_file(path: Path | None) -> str | None:
    """The same file whatever folder `resume` is typed in."""
    return None if path is None else str(path.absolute())


def build_spec(choices: DetectionChoices, detector: DetectorInfo, datasets: tuple[str, ...], root: str) -> Spec:
    """Raises UsageError for a value out of range, or an option that this detector cannot honour."""
    conf = detector.default_conf if choices.conf is None else choices.conf
    _in_range("--conf", conf)
    floor = DEFAULT_FLOOR if choices.floor is None else choices.floor
    _in_range("--floor", floor)
    if conf < floor:
        raise UsageError(f"--conf {conf:g} is under the floor: scores below --floor {floor:g} are not stored; lower it")
    if choices.iou is not None and not detector.iou_adjustable:
        raise UsageError(
            f"--iou {choices.iou:g}: {detector.name} suppresses overlapping boxes inside its graph; "
            "leave --iou out, or export the model without NMS"
        )
    iou = detector.default_iou if choices.iou is None else choices.iou
    _in_range("--iou", iou)
    for name, value in (("--max-det", choices.max_det), ("--max-pixels", choices.max_pixels)):
        if value < 1:
            raise UsageError(f"{name} {value} is not possible; give 1 or more")
    return Spec(
        datasets=datasets,
        root=root,
        detector=detector.name,
        detector_digest=detector.digest,
        queue=detector.queue,
        labels=detector.labels,
        conf=conf,
        iou=iou,
        floor=floor,
        imgsz=_image_size(choices.imgsz, detector),
        classes=class_ids(choices.classes, detector.labels),
        max_det=choices.max_det,
        max_pixels=choices.max_pixels,
        limit=choices.limit,
        image_timeout=choices.image_timeout,
        refilterable=detector.refilterable,
        scale=None if choices.scale is None else str(Scale.parse(choices.scale)),
        exclude=choices.exclude,
    )


def _in_range(option: str, value: float) -> None:
    if not 0 < value <= 1:
        raise UsageError(f"{option} {value:g} is out of range; give a number above 0, at most 1")


def _image_size(text: str | None, detector: DetectorInfo) -> tuple[int, int] | None:
    """`640` or `480x640` (height x width)."""
    if text is None:
        return None
    if not detector.flexible_input:
        size = detector.input_size
        fixed = f"its input is fixed at {size[0]}x{size[1]}" if size else "it takes images as they are"
        raise UsageError(f"--imgsz {text}: {detector.name} cannot change its input size, {fixed}; leave --imgsz out")
    sides = _sides(text)
    if len(sides) not in (1, 2) or not all(32 <= side <= MAX_SIDE for side in sides):
        raise UsageError(f"--imgsz {text} is not a size; give 640 or HEIGHTxWIDTH, each from 32 to {MAX_SIDE}")
    return whole_cells((sides[0], sides[-1]), detector.stride)


def _sides(text: str) -> list[int]:
    try:
        return [int(part) for part in text.lower().split("x")]
    except ValueError:
        return []


def size_note(text: str | None, spec: Spec, detector: DetectorInfo) -> str:
    """What became of an --imgsz that is no whole number of the network's cells; empty where nothing did."""
    if text is None or spec.imgsz is None or {*_sides(text)} == {*spec.imgsz}:
        return ""
    height, width = spec.imgsz
    return f"--imgsz {text} is rounded up to {height}x{width}: {detector.name} takes multiples of {detector.stride}"


def class_ids(text: str | None, labels: tuple[str, ...]) -> tuple[int, ...] | None:
    """`person,car` or `0,2` to sorted ids. Raises UsageError for a class that there is not."""
    if text is None:
        return None
    ids = set()
    for part in (part.strip() for part in text.split(",")):
        if part in labels:
            ids.add(labels.index(part))
        elif part.isdigit() and int(part) < len(labels):
            ids.add(int(part))
        else:
            close = difflib.get_close_matches(part, labels, 3) or list(labels[:5])
            raise UsageError(
                f"class {part!r} is not one of this detector's {len(labels)}; "
                f"close: {', '.join(close)} (or an id from 0 to {len(labels) - 1})"
            )
    return tuple(sorted(ids))
