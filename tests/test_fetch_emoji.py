"""The script that lays out emoji of two vendors as a set with paired test images."""

import io
import json
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data.sources import folder_source
from examples import fetch_emoji

NAMES = [f"1f{n:03x}{tail}.png" for n in range(40) for tail in ("", "-200d-2640")]


def package(path, vendor, colour):
    """A package of the same layout, with the alpha channel of the real images."""
    listed = [
        {"image": name, "has_img_google": True, "has_img_twitter": name != NAMES[-1]}
        for name in NAMES
    ]
    image = Image.new("RGBA", (64, 64), (*colour, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    data = io.BytesIO()
    image.save(data, "PNG")
    files = {"emoji.json": json.dumps(listed).encode()}
    files |= {f"img/{vendor}/64/{name}": data.getvalue() for name in NAMES}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    packages = {
        "google": package(tmp_path / "a.tgz", "google", (200, 10, 30)),
        "twitter": package(tmp_path / "b.tgz", "twitter", (20, 190, 30)),
    }
    monkeypatch.setattr(fetch_emoji, "download", packages.__getitem__)

    def run():
        monkeypatch.setattr(sys, "argv", ["fetch_emoji.py", str(tmp_path / "emoji")])
        fetch_emoji.main()
        return tmp_path / "emoji"

    return run


def test_layout(fetch):
    folder = fetch()
    names = {x.name: sorted(p.name for p in x.iterdir()) for x in folder.iterdir()}
    assert names["trainA"] == names["trainB"]
    assert names["testA"] == names["testB"]
    assert sorted(names["trainA"] + names["testA"]) == sorted(NAMES[:-1])
    first = {split: {n[:5] for n in names[split]} for split in ("trainA", "testA")}
    assert first["testA"]
    assert not first["testA"] & first["trainA"]
    source = folder_source(folder / "testB")
    expected = np.full((64, 64, 3), (20, 190, 30), np.uint8)
    expected[0, 0] = 255
    np.testing.assert_array_equal(source[0], expected)


def test_an_existing_folder_stays(fetch):
    fetch()
    with pytest.raises(SystemExit, match="exists already"):
        fetch()
