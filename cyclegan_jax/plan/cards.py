"""Published specifications of NVIDIA GPUs, and XLA's descriptions of them.

The descriptions are those of XLA's own list (openxla/xla, xla/backends/gpu/
target_config/specs), of which only what the compiler reads is kept; peaks without
sparsity and the bandwidth of NVLink, in each direction, are from NVIDIA's data sheets.
"""

import dataclasses
import re

_RESERVED = 0.5 * 2**30  # CUDA's context and libraries, about.


@dataclasses.dataclass(frozen=True)
class Card:
    """A kind of GPU.

    Attributes:
      name: as in `h100:8`.
      title: NVIDIA's.
      major: of the compute capability.
      cores: streaming multiprocessors.
      lanes: float32 units of each.
      shared: bytes of shared memory of each.
      cache: bytes of the L2 cache.
      ghz: of the clock.
      memory: in bytes.
      bandwidth: of that memory, in bytes a second.
      peak: bfloat16 operations a second.
      peak_float32: float32 ones, as XLA multiplies by default (TF32).
      link: bytes a second that a card sends to others in its host.
    """

    name: str
    title: str
    major: int
    cores: int
    lanes: int
    shared: int
    cache: int
    ghz: float
    memory: float
    bandwidth: float
    peak: float
    peak_float32: float
    link: float


CARDS = {
    card.name: card
    for card in (
        Card(
            name="a100",
            title="NVIDIA A100-SXM4-80GB",
            major=8,
            cores=108,
            lanes=64,
            shared=167936,
            cache=41943040,
            ghz=1.41,
            memory=85100068864,
            bandwidth=2039.04e9,
            peak=312e12,
            peak_float32=156e12,
            link=300e9,
        ),
        Card(
            name="a100-40gb",
            title="NVIDIA A100-SXM4-40GB",
            major=8,
            cores=108,
            lanes=64,
            shared=167936,
            cache=41943040,
            ghz=1.41,
            memory=42331013120,
            bandwidth=1555.2e9,
            peak=312e12,
            peak_float32=156e12,
            link=300e9,
        ),
        Card(
            name="h100",
            title="NVIDIA H100 80GB HBM3",
            major=9,
            cores=132,
            lanes=128,
            shared=233472,
            cache=52428800,
            ghz=1.98,
            memory=84942979072,
            bandwidth=3352.32e9,
            peak=989e12,
            peak_float32=494e12,
            link=450e9,
        ),
        Card(
            name="h200",
            title="NVIDIA H200 141GB HBM3e",
            major=9,
            cores=132,
            lanes=128,
            shared=233472,
            cache=52428800,
            ghz=1.98,
            memory=151397597184,
            bandwidth=4800e9,
            peak=989e12,
            peak_float32=494e12,
            link=450e9,
        ),
    )
}


@dataclasses.dataclass(frozen=True)
class Cards:
    """Equal cards in one host.

    Attributes:
      card: their kind.
      count: their number.
    """

    card: Card
    count: int

    clock = None  # XLA estimates no cycles for GPUs.
    links = 1

    @classmethod
    def parse(cls, name: str) -> "Cards | None":
        """Reads a name such as h100 or h100:8; None if there is no such card."""
        kind, colon, count = name.partition(":")
        if kind not in CARDS or (colon and not re.fullmatch(r"[1-9]\d*", count)):
            return None
        return cls(CARDS[kind], int(count or 1))

    @property
    def name(self) -> str:
        """Such as h100:8."""
        return f"{self.card.name}:{self.count}"

    @property
    def nodes(self) -> int:
        """The number of cards."""
        return self.count

    @property
    def memory(self) -> float:
        """Of a card, in bytes."""
        return self.card.memory

    @property
    def usable(self) -> float:
        """Bytes that a program may use on a card."""
        return self.card.memory - _RESERVED

    @property
    def bandwidth(self) -> float:
        """Bytes a second of a card's memory."""
        return self.card.bandwidth

    @property
    def link(self) -> float:
        """Bytes a second that a card sends to the others."""
        return self.card.link

    def peak(self, dtype: str) -> float:
        """Operations a second of a card in this type."""
        return self.card.peak if dtype == "bfloat16" else self.card.peak_float32

    def family(self) -> list["Cards"]:
        """Usual numbers of such cards in a host."""
        return [Cards(self.card, count) for count in (1, 2, 4, 8)]

    def description(self) -> str:
        """XLA's description of the card (`GpuTargetConfigProto`, as text)."""
        card = self.card
        extension = "ACCELERATED_FEATURES" if card.major >= 9 else "NONE"
        return f"""
gpu_device_info {{
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  shared_memory_per_block: 49152  shared_memory_per_core: {card.shared}
  shared_memory_per_block_optin: {card.shared - 1024}
  core_count: {card.cores}  fpus_per_core: {card.lanes}
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: {int(card.bandwidth)}  device_memory_size: {int(card.memory)}
  l2_cache_size: {card.cache}  clock_rate_ghz: {card.ghz}
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  cuda_compute_capability {{ major: {card.major} feature_extension: {extension} }}
  name: "{card.title}"  driver_version: "13.0.0"  runtime_version: "12.8.0"
  compile_time_toolkit_version: "12.8.0"  dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{card.title}"
"""
