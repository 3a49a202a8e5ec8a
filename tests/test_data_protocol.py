"""Every image source is one: the classes are listed, not remembered."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import data
from cyclegan_jax.data.cache import CachedSource
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.masks import MaskedSource
from cyclegan_jax.data.side_by_side import HalfSource
from cyclegan_jax.data.sources import (
    EncodedSource,
    ImageSource,
    MappedSource,
    PagesSource,
    SubsetSource,
    folder_source,
)
from cyclegan_jax.data.streets import StreetsSource
from cyclegan_jax.images import Pixels


def folder(path):
    for value in range(3):
        Image.new("RGB", (8, 4), (value, 0, 0)).save(path / f"{value}.png")
    return folder_source(path)


def pages(path):
    stack = np.arange(2 * 4 * 8 * 3, dtype=np.uint8).reshape(2, 4, 8, 3)
    np.save(path / "stack.npy", stack)
    decoder = Decoder(pixels=Pixels(measured=True))
    return folder_source(path, decoder=decoder)


MADE = {
    PagesSource: pages,
    EncodedSource: folder,
    SubsetSource: lambda path: SubsetSource(folder(path), (2, 0)),
    MappedSource: lambda path: MappedSource(folder(path), np.flip),
    MaskedSource: lambda path: MaskedSource(
        MappedSource(folder(path), lambda image: image[..., :2]),
        MappedSource(folder(path), lambda image: image[..., 2:]),
    ),
    HalfSource: lambda path: HalfSource(folder(path), 1),
    CachedSource: lambda path: CachedSource(
        folder(path), lambda image, name: image, cache_bytes=200, quiet=True
    ),
    StreetsSource: lambda path: StreetsSource("photo", "test", 2, 32),
}


def implementations():
    found = set()
    for module in pkgutil.walk_packages(data.__path__, f"{data.__name__}."):
        for _, kind in inspect.getmembers(
            importlib.import_module(module.name), inspect.isclass
        ):
            random_access = hasattr(kind, "__getitem__") and hasattr(kind, "__len__")
            ours = kind.__module__.startswith(data.__name__)
            if ours and random_access and not issubclass(kind, (dict, tuple)):
                found.add(kind)
    return found - {ImageSource}


def test_all_are_listed_here():
    assert implementations() == set(MADE)


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_an_image_source_keeps_the_protocol(kind, tmp_path):
    source = MADE[kind](tmp_path)
    assert isinstance(source, kind)
    assert isinstance(source, ImageSource)
    assert len(source) == len(source.names) == len(set(source.names)) > 1
    for index in range(len(source)):
        image = source[index]
        assert (image.dtype, image.ndim, image.shape[-1]) == (np.uint8, 3, 3)
        assert source.content(index) == source.content(index) != b""
    assert source.content(0) != source.content(1)
    with pytest.raises(IndexError):
        source[len(source)]


def test_a_source_without_content_is_none():
    class Half:
        names = ("a",)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.zeros((1, 1, 3), np.uint8)

    assert not isinstance(Half(), ImageSource)
