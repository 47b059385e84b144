"""Puts into words why ONNX Runtime does not load a model."""

from __future__ import annotations

import re

import onnxruntime

#: An operator of a domain that ONNX Runtime does not have, in the forms in which it says so.
_OPERATOR = (
    re.compile(r"Fatal error: (?P<domain>[^\s:]*):(?P<operator>\w+)\(.*is not a registered function/op"),
    re.compile(r'In Node, \(".*?", (?P<operator>\w+), "(?P<domain>[^"]*)", .*(?:No opset import|No Op registered)'),
    re.compile(r"Could not find an implementation for (?P<domain>[^\s:()]*:)?(?P<operator>\w+)\("),
)
_IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*domain (\S+) is till opset (\d+)")
#: Whose operators these are, by parts of their domain or name.
_OWNERS = {"TRT": "TensorRT's", "mmdeploy": "MMDeploy's", "mmcv": "MMCV's", "extensions": "onnxruntime-extensions'"}


def why_not_loaded(error: Exception, file: str) -> str:
    """One line that names the file, what is wrong and the remedy."""
    text = " ".join(str(error).split())
    version = onnxruntime.__version__
    if found := _IR.search(text):
        return (
            f"{file} is of ONNX IR version {found[1]}, and ONNX Runtime {version} reads up to {found[2]}; "
            "upgrade onnxruntime, or export it with an older onnx or opset"
        )
    if found := _OPSET.search(text):
        return (
            f"{file} is of opset {found[1]} of {found[2]}, and ONNX Runtime {version} knows up to {found[3]}; "
            f"upgrade onnxruntime, or export it with opset={found[3]} or less"
        )
    for pattern in _OPERATOR:
        if found := pattern.search(text):
            return f"{file} {_of_operator(found['operator'], (found['domain'] or '').rstrip(':'))}"
    return f"{file} is not a whole ONNX model ({text[:160]}); copy, download or export it again"


def _of_operator(operator: str, domain: str) -> str:
    full = f"{operator} of the domain {domain}" if domain else operator
    owner = next((whose for part, whose in _OWNERS.items() if part.lower() in (domain + operator).lower()), "")
    what = f"wants the operator {full}, which is {owner}" if owner else f"wants the operator {full}"
    lack = f"ONNX Runtime {onnxruntime.__version__} does not have it"
    remedy = "export it with operators of ONNX alone"
    if "nms" in operator.lower() or "nonmax" in operator.lower():
        remedy = (
            "export it without the suppression inside, or with ONNX' own NonMaxSuppression "
            "(Ultralytics: nms=False or nms=True; YOLOv7: without --end2end, or with --max-wh 640)"
        )
    return f"{what}: {lack}; {remedy}"
