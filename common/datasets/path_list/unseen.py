"""Reads a list of URLs, or of files that only workers see: nothing in it is looked up."""

from __future__ import annotations

import re

from common.datasets.base import is_image_name, with_slash
from common.datasets.files import absolute
from common.datasets.path_list.lines import Lines
from common.datasets.path_list.listed import Line, Listed, skipped_note
from common.datasets.path_list.readings import (
    SEPARATORS,
    Head,
    after_labels,
    bare,
    columns_of,
    head_of,
    names_another,
    unquoted,
)
from common.storage.urls import canonical, is_url

#: Blanks within a name are fine, but what comes after an image's name and a blank is a label.
_LABELLED = re.compile(rb"(\S+)\s+[^/]*")


def parse_unseen(lines: Lines, folder: bytes, name: str) -> Listed:
    """Relative paths are relative to `folder`, a path or a URL. Raises UsageError for a line that can mean nothing."""
    names: list[bytes] = []
    skipped: list[bytes] = []
    head, begun = None, lines.exact
    for number, line in enumerate(lines.entries, 1):
        if not line.strip():
            continue
        if lines.is_comment(line, b"# "):
            skipped.append(line)
            continue
        if not begun:
            begun, head = True, head_of(line, lines.after(number))
            if head:
                skipped.append(line)
                continue
        here = Line(name, number, line)
        if lines.exact:
            names.append(here.checked(_from(folder, line)))
        else:
            names.append(url_of(here, head) or here.checked(_relative(line, head, folder)))
    return Listed(names, skipped_note(name, skipped), len(skipped))


def url_of(line: Line, head: Head | None) -> bytes | None:
    """The URL in a line, in its one form; None for a line that holds none. Raises UsageError where it holds two."""
    if b"://" not in line.text:
        return None
    if named := _named(line.text, head):
        found = next(filter(_is_remote, named), None)
        return found and canonical(_unlabelled(found))
    text = bare(line.text)
    begins = _is_remote(text)
    for separator in SEPARATORS:
        # A separator can be a part of the URL, if it is not that what comes before has an image's name.
        columns = columns_of(text, separator) if separator in text else ()
        urls = [one for one in columns if _is_remote(one) and (is_image_name(one) or not begins)]
        if urls:
            if urls[1:] or names_another(text, urls[0]):
                raise line.refusal("names more than one image; give one URL a line")
            return canonical(urls[0])
    text = unquoted(text) or text
    text = text if _is_remote(text) else after_labels(text) or text
    return canonical(_unlabelled(text)) if _is_remote(text) else None


def _relative(line: bytes, head: Head | None, folder: bytes) -> bytes:
    named = _named(line, head)
    if not is_url(folder):
        return _from(folder, named[0] if named else line)
    text = _unlabelled(named[0] if named else line)
    for separator in () if is_image_name(text) else SEPARATORS:
        images = [one for one in columns_of(line, separator) if is_image_name(one)]
        if len(images) == 1:
            text = images[0]
    return _from(folder, text)


def _from(folder: bytes, text: bytes) -> bytes:
    if is_url(text):
        return canonical(text)
    return canonical(with_slash(folder) + text) if is_url(folder) else absolute(text, folder)


def _named(line: bytes, head: Head | None) -> list[bytes]:
    return [text for column in (head.paths if head else ()) if (text := column(line))]


def _is_remote(text: bytes) -> bool:
    return is_url(text) and text[:7].lower() != b"file://"


def _unlabelled(line: bytes) -> bytes:
    """Of what cannot be looked for: without quotes, and without the label after an image's name and a blank."""
    text = unquoted(line) or bare(line)
    labelled = _LABELLED.fullmatch(text)
    return labelled[1] if labelled and is_image_name(labelled[1]) and not is_image_name(text) else text
