"""Tells apart the outputs of graphs that give boxes, scores and class numbers in outputs of their own."""

from __future__ import annotations

from jobs.detect.heads import values
from jobs.detect.heads.base import Trial

#: What Hugging Face's and the authors' networks call them.
_OF_TRANSFORMERS = ("logits", "pred_logits", "pred_boxes")


def boxes_scores_ids(trial: Trial, among: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Which of three outputs are the (1, n, 4) boxes, the (1, n) scores and the (1, n) class numbers: by shape, then by
    name, then by values. None where shapes say that these are not there, or nothing tells scores from class numbers.
    """
    outputs = trial.outputs
    boxes = [index for index in among if outputs[index].ndim == 3 and outputs[index].shape[2] == 4]
    rest = [index for index in among if outputs[index].ndim == 2]
    if len(boxes) != 1 or len(rest) != 2 or not trial.is_batch(outputs[boxes[0]]):
        return None
    if any(outputs[index].shape != outputs[boxes[0]].shape[:2] for index in rest):
        return None
    for scores, ids in (rest, rest[::-1]):
        if trial.named(scores, "score", "conf", "prob") and not trial.named(ids, "score", "conf", "prob"):
            return boxes[0], scores, ids
    whole = [index for index in rest if not values.of_ids(outputs[index][0])]
    if len(whole) == 1:
        return boxes[0], next(index for index in rest if index not in whole), whole[0]
    return None


def boxes_and_scores(trial: Trial) -> tuple[int, int] | None:
    """Which of two outputs are the (1, n, 4) boxes and the (1, n, classes) scores; None where shapes and names do not
    say.
    """
    among = tuple(range(len(trial.outputs)))
    if len(among) > 2:
        # Hidden states and the like are beside them.
        among = tuple(index for index in among if trial.names and trial.names[index] in _OF_TRANSFORMERS)
    if len(among) != 2 or not all(trial.outputs[index].ndim == 3 for index in among):
        return None
    first, last = (trial.outputs[index] for index in among)
    if first.shape[1] != last.shape[1] or not (trial.is_batch(first) and trial.is_batch(last)):
        return None
    pairs = [among] * (first.shape[2] == 4) + [among[::-1]] * (last.shape[2] == 4)
    if len(pairs) > 1:
        # Four classes: only names tell.
        pairs = [(boxes, scores) for boxes, scores in pairs if trial.named(boxes, "box", "dets", "loc", "reg")]
    return (pairs[0][0], pairs[0][1]) if len(pairs) == 1 else None
