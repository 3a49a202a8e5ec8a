"""The input pipeline alone: images a second, against a PyTorch DataLoader.

    python -m benchmarks.data                 # two domains at 286 -> 256, JPEG files

Cold: from files, as in the first seconds of a run (or without memory to cache).
Warm: from the decoded images that a run keeps. The DataLoader decodes every time, as
the published code does, with 2 workers. Images of both domains are counted.
"""

import pathlib
import tempfile

import numpy as np
from PIL import Image

from benchmarks import records
from benchmarks.alternation import Contestant, alternate
from benchmarks.ours import draw_images


def ours(folder: str, warm: bool, batches: int):
    from cyclegan_jax import data
    from cyclegan_jax.data.sources import folder_source

    transform = data.Preprocess(
        mode="resize_and_crop", load_size=286, crop_size=256, flip=True, multiple=4
    )
    cached = [
        data.CachedSource(
            folder_source(pathlib.Path(folder) / split),
            transform.load,
            cache_bytes=2**32 if warm else 0,
            quiet=True,
        )
        for split in ("trainA", "trainB")
    ]
    stream = iter(data.TrainBatches(*cached, transform, seed=0, batch_size=1).iterate())
    return _take(stream, batches)


def dataloader(folder: str, batches: int):
    import torch
    from torch.utils.data import DataLoader, Dataset

    files = [sorted(pathlib.Path(folder, s).iterdir()) for s in ("trainA", "trainB")]

    class Unaligned(Dataset):
        """The published augmentation, with Pillow and random numbers of NumPy."""

        def __len__(self):
            return 10**9  # Endless, like ours.

        def __getitem__(self, index):
            rng = np.random.default_rng(index)
            return [self.load(names[rng.integers(len(names))], rng) for names in files]

        def load(self, file, rng):
            image = Image.open(file).convert("RGB").resize((286, 286), Image.BICUBIC)
            x, y = rng.integers(0, 31, 2)
            image = image.crop((x, y, x + 256, y + 256))
            if rng.random() < 0.5:
                image = image.transpose(Image.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            return pixels.float() / 127.5 - 1.0

    loader = DataLoader(
        Unaligned(),
        batch_size=1,
        num_workers=2,
        multiprocessing_context="fork",  # PyTorch's default, but not in here.
    )
    return _take(iter(loader), batches)


def _take(stream, batches):
    def run():
        for _ in range(batches):
            next(stream)

    return run, dict


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--batches", type=int, default=300, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", default="benchmarks/results/data.jsonl")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        splits = ("trainA", "trainB")
        draw_images(pathlib.Path(folder), 100, 256, splits=splits, suffix="jpg")
        common = {"folder": folder, "batches": args.batches}
        results = alternate(
            [
                Contestant("cyclegan_jax, warm", ours, common | {"warm": True}),
                Contestant("cyclegan_jax, cold", ours, common | {"warm": False}),
                Contestant("DataLoader, 2 workers", dataloader, common),
            ],
            args.rounds,
            warmup=1,
        )
    images = 2 * args.batches
    rows = [
        [name, f"{images / r.median:,.0f} ± {r.spread:.0%}"]
        for name, r in results.items()
    ]
    records.print_table(["pipeline", "images/s"], rows)
    record = records.environment("cpu") | {"images": images}
    record["seconds"] = {name: r.seconds for name, r in results.items()}
    records.append(args.output, record)


if __name__ == "__main__":
    main()
