"""Tests that a line of a list means the file that a person would say it means, however the list was made."""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from common.datasets import Choosing, Dataset, open_dataset
from common.datasets.path_list.lines import take_apart
from common.datasets.path_list.lists import parse_list
from common.errors import UsageError

SHARED = Path(__file__).parents[3] / "shared/field-cases/lists"
UMLAUT = unicodedata.normalize("NFC", "u\u0308ni\u0308.jpg").encode()


def touch(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def opened(folder: Path, content: bytes, cwd: Path | None = None, name: str = "list.txt") -> Dataset:
    (folder / name).write_bytes(content)
    return open_dataset([str(folder / name)], cwd or Path("/"))


def items(dataset: Dataset) -> list[bytes]:
    return [item.path for item in dataset.items()]


def refusal(folder: Path, content: bytes, cwd: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        opened(folder, content, cwd)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the cases from the field are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("backslash.txt", [b"a.jpg", b"b.jpg", b"sub dir/c.jpg"]),
        ("bom_crlf.txt", [b"a.jpg", b"b.jpg", b"sub dir/c.jpg"]),
        ("comment.txt", [b"a.jpg"]),
        ("crlf.txt", [b"a.jpg", b"b.jpg", b"sub dir/c.jpg"]),
        ("csv.txt", [b"a.jpg"]),
        ("nfd.txt", [UMLAUT]),
        ("quoted.txt", [b"a.jpg", b"b.jpg"]),
        ("tilde.txt", [b"a.jpg"]),
        ("trailing_space.txt", [b"a.jpg", b"b.jpg"]),
        ("utf16.txt", [b"a.jpg", b"b.jpg", b"sub dir/c.jpg"]),
        ("with_label.txt", [b"a.jpg", b"b.jpg"]),
    ],
)
def test_lists_from_the_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, found: list[bytes]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "a.jpg", "b.jpg", "sub dir/c.jpg", UMLAUT)
    shutil.copy(SHARED / name, tmp_path)

    assert items(open_dataset([str(tmp_path / name)], Path("/"))) == found


READ = [
    (b"a.jpg \nb.jpg\t\n  c.png", [b"a.jpg", b"b.jpg", b"c.png"]),
    (b"'a.jpg'\n\"b.jpg\"\n \"x y/d e.jpg\" ", [b"a.jpg", b"b.jpg", b"x y/d e.jpg"]),
    (b"a.jpg\rb.jpg\r", [b"a.jpg", b"b.jpg"]),
    (b".\\x y\\d e.jpg\r\nsub\\..\\a.jpg\r\n", [b"a.jpg", b"x y/d e.jpg"]),
    (b"\"x y\\d e.jpg\" 7\r\na.jpg 1\r\n", [b"a.jpg", b"x y/d e.jpg"]),
    (b"a.jpg 0\nx y/d e.jpg 12\nnone 3 4", [b"a.jpg", b"none", b"x y/d e.jpg"]),
    (b"a.jpg\t0\nb.jpg\tcat fish", [b"a.jpg", b"b.jpg"]),
    (b"a.jpg 1,2,30,40,0 5,6,70,80,1\nb.jpg", [b"a.jpg", b"b.jpg"]),
    (b"a.jpg # the best\n# b.jpg\n#b.jpg 0\n", [b"a.jpg"]),
    (b"0 a.jpg\n1 x y/d e.jpg", [b"a.jpg", b"x y/d e.jpg"]),
    (b"0\t1.000\ta.jpg\n1\t0.000\tx y/d e.jpg\n", [b"a.jpg", b"x y/d e.jpg"]),
    ("\u201ca.jpg\u201d\n`b.jpg`\n\xa0c.png\xa0\r\n\x1a".encode(), [b"a.jpg", b"b.jpg", b"c.png"]),
    (b"- a.jpg\n- b.jpg", [b"a.jpg", b"b.jpg"]),
    (b"'a.jpg',\n'b.jpg',\n", [b"a.jpg", b"b.jpg"]),
    (b"path,label\na.jpg,cat\n\"x y/d e.jpg\",\"dog, big\"\n", [b"a.jpg", b"x y/d e.jpg"]),
    (b"id;Image_Path;mask\n1;a.jpg;b.jpg\n2;b.jpg;a.jpg", [b"a.jpg", b"b.jpg"]),
    (b"# made by hand\nfilename\tn\nnone\t3\n", [b"none"]),
    (b"frame,what\na.jpg,cat\nb.jpg,dog", [b"a.jpg", b"b.jpg"]),
    (b"image\na.jpg\n", [b"a.jpg"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "found"), READ)
def test_a_line_that_is_no_path_is_read_as_it_is_meant(tmp_path: Path, content: bytes, found: list[bytes]) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.png", "x y/d e.jpg", "none", "sub/x.jpg")

    dataset = opened(tmp_path, content)
    assert items(dataset) == found
    assert dataset.listed.notes or b"\r" in content[:6], "and that is said"


@pytest.mark.parametrize(("content", "found"), READ)
def test_a_line_that_exists_as_it_stands_is_that_file(tmp_path: Path, content: bytes, found: list[bytes]) -> None:
    lines = [line for line in take_apart(content, "x").entries if line.strip()]
    there = [line for line in lines if b"/" not in line]
    touch(tmp_path, "a.jpg", "b.jpg", "c.png", "x y/d e.jpg", "none", "sub/x.jpg", *there)

    assert set(items(opened(tmp_path, content))) >= set(there)


@pytest.mark.parametrize("codec", ["utf-8-sig", *(f"utf-{n}{order}" for n in (16, 32) for order in ("", "-le", "-be"))])
def test_any_encoding_of_unicode(tmp_path: Path, codec: str) -> None:
    names = ["a.jpg", "\u4e00\u4e8c/\u4e09.jpg", "e\u0301.jpg"]
    touch(tmp_path, *names)

    assert items(opened(tmp_path, "\r\n".join([*names, ""]).encode(codec))) == sorted(n.encode() for n in names)


@pytest.mark.parametrize("codec", ["latin-1", "cp1252", "cp1251", "cp932", "gb18030", "mac-roman", "cp850"])
def test_a_name_in_another_encoding_than_the_disk_has(tmp_path: Path, codec: str) -> None:
    letters = {
        "cp1251": "\u0444\u043e\u0442\u043e",
        "cp932": "\u732b\u306e\u5199\u771f",
        "gb18030": "\u732b\u7684\u7167\u7247",
    }
    name = letters.get(codec, "Stra\xdfe \xfcber") + ".jpg"
    touch(tmp_path, name, "raw \xe9.jpg".encode("latin-1"))

    assert items(opened(tmp_path, name.encode(codec) + b"\nraw \xe9.jpg")) == sorted([b"raw \xe9.jpg", name.encode()])
    other = touch(tmp_path / "other", name.encode(codec))
    assert items(opened(other, name.encode())) == [name.encode(codec)]


def test_accents_are_found_in_either_form(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "m\xfc/\xfcn\xef.jpg") for form in ("NFC", "NFD"))
    mixed = f"{Path(composed).parent}/{Path(apart).name}"
    for there in (composed, apart, mixed):
        folder = touch(tmp_path / str(len(there.encode())), there)
        for line in (composed, apart, mixed):
            assert items(opened(folder, line.encode() + b"\n")) == [Path(there).name.encode()]


def test_nul_separated_names_are_taken_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "#b.jpg", "c")

    assert items(opened(tmp_path, b"a.jpg\0#b.jpg\0'a.jpg'\0# x\0a.jpg 0\0")) == [
        b"# x", b"#b.jpg", b"'a.jpg'", b"a.jpg", b"a.jpg 0",
    ]  # fmt: skip


def test_paths_of_darknet_are_relative_to_the_working_folder(tmp_path: Path) -> None:
    touch(tmp_path, "data/obj/1.jpg", "data/obj/2.jpg", "data/3.jpg")
    lists = tmp_path / "data"

    dataset = opened(lists, b"data/obj/1.jpg\ndata/obj/2.jpg\ndata/obj/gone.jpg\n", tmp_path)
    assert items(dataset) == [b"1.jpg", b"2.jpg", b"gone.jpg"]
    assert dataset.root == os.fsencode(lists / "obj")
    assert "2 of its 3 paths are relative to" in dataset.listed.notes[0]
    mixed = opened(lists, b"data/obj/1.jpg\n3.jpg\ngone.jpg", tmp_path)
    assert items(mixed) == [b"3.jpg", b"gone.jpg", b"obj/1.jpg"]
    touch(tmp_path, "3.jpg")
    assert items(opened(lists, b"3.jpg", tmp_path)) == [b"3.jpg"], "the list's folder comes first"
    assert open_dataset([str(lists / "list.txt")], tmp_path).root == os.fsencode(lists)


def test_home_urls_of_files_and_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "a.jpg", "x y/b.jpg")
    lines = f"~/a.jpg\nfile://{tmp_path}/x%20y/b.jpg\n~\\x y\\b.jpg\n~/gone.jpg\n"

    assert items(opened(tmp_path, lines.encode())) == [b"a.jpg", b"gone.jpg", b"x y/b.jpg"]
    assert "line 2, 'C:\\\\photos\\\\b.jpg', is a path of Windows" in refusal(tmp_path, b"a.jpg\nC:\\photos\\b.jpg")


def test_what_is_not_there_is_an_item_named_as_the_others_are(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")

    assert items(opened(tmp_path, b"a.jpg 0\ngone.jpg 1\n")) == [b"a.jpg", b"gone.jpg"]
    assert items(opened(tmp_path, b"x,path\n1,a.jpg\n2,gone.jpg\n")) == [b"a.jpg", b"gone.jpg"]
    assert items(opened(tmp_path, b"sub\\b.jpg\nsub\\gone.jpg\n")) == [b"b.jpg", b"gone.jpg"]
    assert items(opened(tmp_path, b"a.jpg\ngone.jpg 1\n")) == [b"a.jpg", b"gone.jpg 1"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x/1.jpg\nx/2.jpg\n", "names 2 files, and none of them is there; the first, 'x/1.jpg' (line 1), is not in /"),
        (b"\n/no/where/1.jpg", "names one file, '/no/where/1.jpg' (line 2), which is not there: correct the list"),
        (b"x/1.jpg 0\n", "also without quotes, labels and blanks around it"),
        (b"x/1.jpg\0x/2.jpg\0", "none of them is there"),
        (b"# one\n#two", "names no files: its first line, '# one', is no path"),
        (b"path,label\n", "names no files"),
        (b"sub\n./sub\n", "names folders, and no file"),
        (b"a.jpg\n/\n", "line 2, '/', names the whole disk"),
        (b"a.jpg b.jpg\n", "line 1, 'a.jpg b.jpg', names more than one image"),
        (b"a.jpg\n\na.jpg;b.jpg\n", "line 3, 'a.jpg;b.jpg', names more than one image"),
        (b"gone.jpg,a.jpg\n", "names more than one image"),
        (b'{"path": "a.jpg"}\n{"path": "b.jpg"}\n', "is JSON"),
        (b'a.jpg\n["b.jpg"]', "line 2, '[\"b.jpg\"]', is JSON"),
        (b"a.jpg\n\\\\nas\\photos\\b.jpg", "is a path of Windows"),
        ("a.jpg\n".encode("utf-16") + b"\0", "is UTF-16-LE and damaged"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_and_its_line_named(tmp_path: Path, content: bytes, words: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "sub/c.jpg")

    assert words in refusal(tmp_path, content)


def test_a_file_of_another_kind_in_a_column_is_not_taken_for_the_image(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "labels.txt", "notes")

    assert items(opened(tmp_path, b"a.jpg,labels.txt\ngone.jpg,labels.txt\nnotes gone.jpg\n", name="l.lst")) == [
        b"a.jpg", b"gone.jpg", b"notes gone.jpg",
    ]  # fmt: skip


def test_a_table_is_a_list_by_its_name_and_stdin_is_read_like_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")

    assert items(opened(tmp_path, b"label,file\ncat,a.jpg\n", name="set.CSV")) == [b"a.jpg"]
    assert items(opened(tmp_path, b"a.jpg\t1\n", name="set.tsv")) == [b"a.jpg"]
    assert items(open_dataset(["-"], tmp_path, io.BytesIO(b'"a.jpg" 3\r\n'))) == [b"a.jpg"]
    with pytest.raises(
        UsageError, match=r"list on standard input names one file, 'gone.jpg' \(line 1\), which is not in"
    ):
        open_dataset(["-"], tmp_path, io.BytesIO(b"gone.jpg\n"))


def test_what_lists_mean_is_kept_and_does_not_change_with_the_disk(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "x.jpg", "dir/z.jpg")
    dataset = opened(tmp_path, b"a.jpg 0\ngone.jpg 1\n")
    both = open_dataset([str(tmp_path / "list.txt"), "x.jpg", "dir"], tmp_path, choice=Choosing(exclude=("z*",)))
    before = [items(dataset), items(both)]
    (tmp_path / "list.txt").unlink()
    touch(tmp_path, "a.jpg 0", "gone.jpg 1")

    kept = Choosing(kept=dataset.listed)
    assert items(open_dataset(dataset.paths, choice=kept)) == before[0] == [b"a.jpg", b"gone.jpg"]
    kept = Choosing(exclude=("z*",), kept=both.listed)
    assert items(open_dataset(both.paths, choice=kept)) == before[1] == [b"a.jpg", b"gone.jpg", b"x.jpg"]


def test_files_that_only_workers_see_are_taken_at_their_word(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"/mnt/there/1.jpg\n/mnt/there/2.jpg\n")

    assert items(open_dataset([str(tmp_path / "list.txt")], choice=Choosing(unseen=True))) == [b"1.jpg", b"2.jpg"]


def test_urls_in_tables_quotes_and_with_labels(tmp_path: Path) -> None:
    found = opened(tmp_path, b'"https://h/a.jpg"\nhttps://h/b.jpg 3\nhttps://h/c d.jpg\n# https://h/e.jpg\n')
    assert items(found) == [b"a.jpg", b"b.jpg", b"c d.jpg"]
    assert items(opened(tmp_path, b"url,label\nhttps://h/a,b.jpg,1\n")) == [b"a"]
    assert items(opened(tmp_path, b"https://h/a,b.jpg\n")) == [b"a,b.jpg"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"https://h/a.jpg,cat\nhttps://h/b.jpg;dog\n", [b"a.jpg", b"b.jpg"]),
        (b'"https://h/a.jpg","cat"\n"https://h/b.jpg","dog"\n', [b"a.jpg", b"b.jpg"]),
        (b"1,https://h/a.jpg\n0 https://h/b.jpg\n2\thttps://h/c?id=7\n", [b"a.jpg", b"b.jpg", b"c?id=7"]),
        (b"id,image,url\n1,x.jpg,https://h/a.jpg\n2,y.jpg,https://h/b\n", [b"a.jpg", b"b"]),
        (b"label,coco_url\ncat,https://h/a\ndog,https://h/b\n", [b"a", b"b"]),
        (b"sep=;\n\xef\xbb\xbfhttps://h/a.jpg;1\n\xe2\x80\x8bhttps://h/b.jpg\n", [b"a.jpg", b"b.jpg"]),
    ],
)
def test_urls_in_any_column(tmp_path: Path, content: bytes, found: list[bytes]) -> None:
    dataset = opened(tmp_path, content)
    assert (dataset.root, items(dataset)) == (b"https://h", found)
    assert parse_list(content, [b"https://h"], "x").names == [b"https://h/" + name for name in found], "at a URL too"


def test_lists_that_lie_at_a_url_have_heads_and_labels(tmp_path: Path) -> None:
    content = b"sep=,\nid,path\n1,x/a.jpg\n2,b.jpg\n"
    listed = parse_list(content, [b"https://h/l"], "x")
    assert (listed.names, listed.skipped) == ([b"https://h/l/x/a.jpg", b"https://h/l/b.jpg"], 2)
    assert "2 lines are no paths and were skipped, the first: 'sep=,'" in listed.notes[0]
    assert parse_list(b"a.jpg,cat\nb,c.jpg\n", [b"https://h"], "x").names == [b"https://h/a.jpg", b"https://h/b,c.jpg"]
    exact = parse_list(b"https://h/a.jpg,cat\0# b.jpg 1\0", [b"https://h"], "x")
    assert exact.names == [b"https://h/a.jpg,cat", b"https://h/# b.jpg 1"], "a program's names are taken as they are"
    assert parse_list(b"path,n\n/there/a.jpg,1\n", [b"/"], "x", unseen=True).names == [b"/there/a.jpg"]


@pytest.mark.parametrize("unseen", [False, True])
def test_the_root_of_all_is_no_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unseen: bool) -> None:
    monkeypatch.setattr("common.datasets.path_list.lists._LOOKED_FOR", 1)
    touch(tmp_path, "a.jpg")
    for slash in (b"/", b"//", b"/./", b"/..", b"/x/.."):
        with pytest.raises(UsageError, match=r"line 2, '.*', names the whole disk"):
            parse_list(b"a.jpg\n" + slash + b"\n", [os.fsencode(tmp_path)], "x", unseen)


def test_a_kind_of_line_that_comes_after_many_that_are_not_there_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.datasets.path_list.lists._PATIENCE", 10)
    touch(tmp_path, "1st.jpg", *(f"a/{number}.jpg" for number in range(200)))
    lost = [f"gone{number}.jpg" for number in range(20)]
    there = [f"a\\{number}.jpg" for number in range(200)]

    assert len(items(opened(tmp_path, "\n".join(["1st.jpg", *lost, *there]).encode()))) == 221
    odd = [f"gone {number}" for number in range(20)]
    dataset = opened(tmp_path, "\n".join(["1st.jpg", *odd, *there]).encode())
    assert len([name for name in items(dataset) if name.startswith(b"a/")]) == 200, "those in between are found too"
    assert "20 of its 221 files are not there, the first in line 2: 'gone 0'" in dataset.listed.notes[1]
    assert "(10 others were looked for only as they stand)" in refusal(tmp_path, "\n".join(odd).encode())


def test_the_first_row_of_a_table_without_a_head_is_no_head(tmp_path: Path) -> None:
    touch(tmp_path, "ds/a/s.cr2", "ds/b/t.cr2", "raw", "images/x.jpg")

    assert items(opened(tmp_path, b"ds/a/s.cr2,cat\nds/b/t.cr2,image\n")) == [b"a/s.cr2", b"b/t.cr2"]
    assert items(opened(tmp_path, b"ds/a/s.cr2,image\nds/b/t.cr2,image\n")) == [b"a/s.cr2", b"b/t.cr2"]
    gone = opened(tmp_path, b"ds/a/gone.cr2,image\nds/b/t.cr2,image\n")
    assert items(gone) == [b"a/gone.cr2", b"b/t.cr2"], "also where its file is not there"
    assert items(opened(tmp_path, b"raw,image\nds/b/t.cr2,image\n")) == [b"ds/b/t.cr2", b"raw"]
    assert items(opened(tmp_path, b"images\nimages/x.jpg\n")) == [b"x.jpg"], "a folder of its name changes nothing"


def test_all_columns_that_a_head_names_are_tried(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.jpg", "b.jpg")

    assert items(opened(tmp_path, b"image,path\na.jpg,x/a.jpg\nb.jpg,x/b.jpg\n")) == [b"b.jpg", b"x/a.jpg"]


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u200e", "\u202a"])
def test_marks_that_nobody_sees_are_no_part_of_a_name(tmp_path: Path, mark: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "\u00e0.jpg", "c \u00e0")
    content = f"sep=;\na.jpg\n{mark}b.jpg 0\n{mark}# x\n{mark}\u00e0.jpg{mark};1\nc \u00e0;{mark}2\u202c"

    assert items(opened(tmp_path, content.encode())) == [b"a.jpg", b"b.jpg", "c \u00e0".encode(), "\u00e0.jpg".encode()]


def test_a_binary_file_is_no_list(tmp_path: Path) -> None:
    for content in (bytes(range(256)) * 40, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\1\xe0\x08\2\0\0\0\xba\xb3"):
        assert "is no text" in refusal(tmp_path, content)


def test_what_is_not_there_is_told_at_submit(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")

    dataset = opened(tmp_path, b"# made by hand\na.jpg\ngone.jpg\nb.jpg\nlost.jpg\n#\n")
    notes = " ".join(dataset.listed.notes)
    assert "2 of its 4 files are not there, the first in line 3: 'gone.jpg'" in notes
    assert "2 lines are no paths and were skipped, the first: '# made by hand'" in notes
    assert len(items(dataset)) == 4 and dataset.counts.list_lines == 2


def test_whole_paths_are_taken_at_their_word_and_each_new_folder_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.datasets.path_list.lists._LOOKED_FOR", 2)
    touch(tmp_path, "l/x/1.jpg", "l/x/2.jpg", "y/1.jpg")
    looked = []
    lstat = os.lstat
    monkeypatch.setattr("common.datasets.path_list.lists.os.lstat", lambda path: (looked.append(path), lstat(path))[1])
    whole = "".join(f"{tmp_path}/l/x/{number}.jpg\n" for number in range(1, 9))

    assert len(items(opened(tmp_path / "l", whole.encode()))) == 8
    assert not [path for path in looked if path.endswith(b"3.jpg")]
    two = b"x/1.jpg\nx/2.jpg\nx/3.jpg\ny/1.jpg\n"
    assert items(opened(tmp_path / "l", two, tmp_path)) == [b"l/x/1.jpg", b"l/x/2.jpg", b"l/x/3.jpg", b"y/1.jpg"]


def test_a_long_list_is_quick_and_still_read_line_by_line_where_it_is_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.datasets.path_list.lists._LOOKED_FOR", 3)
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "9 9.jpg")
    looked = []
    lstat = os.lstat
    monkeypatch.setattr("common.datasets.path_list.lists.os.lstat", lambda path: (looked.append(path), lstat(path))[1])

    found = items(opened(tmp_path, b"1.jpg\n2.jpg\n3.jpg\n4.jpg\n5.jpg\n9 9.jpg 1\n"))
    assert found == [b"1.jpg", b"2.jpg", b"3.jpg", b"4.jpg", b"5.jpg", b"9 9.jpg"]
    assert not [path for path in looked if path.endswith((b"4.jpg", b"5.jpg"))]
