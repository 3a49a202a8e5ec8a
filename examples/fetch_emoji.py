"""Fetches a set of real unpaired images with true pairs: emoji of two vendors, 64x64.

    python examples/fetch_emoji.py data/emoji
    python train.py --config=configs/emoji.py --config.data.path=data/emoji

A: Google's Noto Emoji (Apache License 2.0). B: Twitter's Twemoji (CC BY 4.0). Both come
from the npm packages `emoji-datasource-google` and `emoji-datasource-twitter` (135 MB).
An emoji has the same name in both, so the test images are pairs; training does not use
that. Emoji that begin with the same code point, such as those of one family, are in the
same split, and skin tones are left out: no test image has a near-copy in training.
Transparent pixels become white.
"""

import argparse
import io
import json
import pathlib
import sys
import tarfile
import zlib

import pooch
from PIL import Image

VERSION = "16.0.0"
DIGESTS = {
    "google": "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "twitter": "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
}
URL = "https://registry.npmjs.org/emoji-datasource-{0}/-/emoji-datasource-{0}-{1}.tgz"
TEST_SHARE = 8  # One in eight.


def download(vendor: str) -> str:
    """Returns the path of a vendor's package, downloaded once and checked."""
    return pooch.retrieve(
        URL.format(vendor, VERSION),
        known_hash=DIGESTS[vendor],
        path=pooch.os_cache("cyclegan_jax"),
        progressbar=sys.stderr.isatty(),
    )


def images_of(archive: str, vendor: str) -> dict[str, Image.Image]:
    """Returns name -> RGB image 64x64 of all emoji that both vendors have."""
    with tarfile.open(archive) as package:

        def read(name):
            file = package.extractfile(f"package/{name}")
            assert file is not None
            return file.read()

        result = {}
        for one in json.loads(read("emoji.json")):
            if not (one["has_img_google"] and one["has_img_twitter"]):
                continue
            data = io.BytesIO(read(f"img/{vendor}/64/{one['image']}"))
            image = Image.open(data).convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            result[one["image"]] = Image.alpha_composite(white, image).convert("RGB")
    return result


def is_test(name: str) -> bool:
    """Whether an emoji is in the test split; decided by its first code point."""
    first = name.split("-")[0].removesuffix(".png")
    return zlib.crc32(first.encode()) % TEST_SHARE == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="a new folder for the set")
    folder = parser.parse_args().folder
    if folder.exists():
        sys.exit(f"error: {folder} exists already; name a new folder.")
    vendors = {"A": "google", "B": "twitter"}
    sets = {d: images_of(download(v), v) for d, v in vendors.items()}
    for domain, images in sets.items():
        for name, image in images.items():
            split = f"{'test' if is_test(name) else 'train'}{domain}"
            (folder / split).mkdir(parents=True, exist_ok=True)
            image.save(folder / split / name)
    tests = sum(map(is_test, sets["A"]))
    print(f"{folder}: {len(sets['A']) - tests} emoji to train on, {tests} to test.")


if __name__ == "__main__":
    main()
