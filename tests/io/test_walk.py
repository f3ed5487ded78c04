"""A folder is walked in one order, through links but never twice, and past what is hidden."""

from __future__ import annotations

from pathlib import Path

from insula.io.walk import walk


def _tree(root: Path) -> None:
    for name in ("b/two.nii", "b/one.nii", "a/three.nii", ".hidden/four.nii", "a/.five.nii", "six.nii"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()


def test_folders_and_files_come_sorted_and_hidden_ones_do_not_come(tmp_path: Path) -> None:
    _tree(tmp_path)
    places = [(Path(base).relative_to(tmp_path).as_posix(), folders, files) for base, folders, files in walk(tmp_path)]
    assert places == [
        (".", ["a", "b"], ["six.nii"]),
        ("a", [], ["three.nii"]),
        ("b", [], ["one.nii", "two.nii"]),
    ]


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    _tree(root)
    elsewhere.mkdir()
    (elsewhere / "seven.nii").touch()
    (root / "c").symlink_to(elsewhere)
    (root / "d").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    (root / "e").mkdir()
    (root / "e" / "eight.nii").touch()  # comes after the folder that was met before
    files = [name for _, _, names in walk(root) for name in names]
    assert sorted(files) == ["eight.nii", "one.nii", "seven.nii", "six.nii", "three.nii", "two.nii"]
