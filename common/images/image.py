"""What a decoded image is, for all that decode one or look at one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: (height, width, 3) uint8, BGR, as a person sees the picture (EXIF rotation applied).
Image = npt.NDArray[np.uint8]
