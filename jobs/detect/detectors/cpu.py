"""What the machine's processor offers, for the record: equal bytes are promised for one instruction set."""

from __future__ import annotations

import cv2


def instruction_set() -> str:
    """The best set of vector instructions that OpenCV was built with and finds here, such as `AVX512-SKX`.

    OpenCV marks sets that it dispatches to with `*`, and those that this processor lacks with `?`.
    """
    found = [word for word in cv2.getCPUFeaturesLine().split() if not word.endswith("?")]
    return found[-1].lstrip("*") if found else "baseline"
