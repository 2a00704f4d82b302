"""How training would scale to more devices, predicted from what a step computes and exchanges."""

from dataclasses import dataclass
from typing import Literal

# Of a step's computation: the backward pass, which takes two of a convolution's three products. No more of it could
# hide the exchange of gradients; TensorFlow hides none, for it packs all of them into one.
BACKWARD_SHARE = 2 / 3


@dataclass(frozen=True)
class StepTerms:
    """What was measured of a training step.

    Attributes:
        images: of a replica's batch.
        single_seconds: of one device on that batch, which trains by itself.
        compute_seconds: of a replica on that batch, without what it exchanges: `single_seconds`, and what BatchNorm
            costs more in the form whose statistics are summed.
        gradient_bytes: of all gradients, which are summed over the replicas.
        gradient_sums: all-reduces that they take.
        waited_bytes: of the other sums, which the network waits for: BatchNorm's statistics, counts of pixels.
        waited_sums: all-reduces that these take.
    """

    images: float
    single_seconds: float
    compute_seconds: float
    gradient_bytes: float
    gradient_sums: float
    waited_bytes: float
    waited_sums: float


@dataclass(frozen=True)
class Link:
    """What the devices of a ring are connected by.

    Attributes:
        name: for reading.
        place: whether the devices are of one host, or each has a host to itself.
        bytes_per_second: that a device sends to the next while it receives as many from the one before.
        latency: seconds from one device to the next, of any message.
        most: replicas that are predicted.
        assumption: where the numbers are from.
    """

    name: str
    place: Literal["one host", "hosts"]
    bytes_per_second: float
    latency: float
    most: int
    assumption: str

    @property
    def full_name(self) -> str:
        return f"{self.name}, {self.place}"


LINKS = (
    Link("NVLink", "one host", 200e9, 5e-6, 8, "200 GB/s each way, two thirds of 300 (third generation); 5 µs a hop"),
    Link("PCIe", "one host", 20e9, 10e-6, 8, "20 GB/s each way, of 32 (4.0 with 16 lanes); 10 µs a hop"),
    Link("100 Gbit/s", "hosts", 0.8 * 100e9 / 8, 30e-6, 16, "80% of the line rate, 10 GB/s each way; 30 µs a hop"),
    Link("25 Gbit/s", "hosts", 0.8 * 25e9 / 8, 30e-6, 16, "80% of the line rate, 2.5 GB/s each way; 30 µs a hop"),
)


@dataclass(frozen=True)
class Prediction:
    """A step on several replicas.

    Attributes:
        replicas: how many.
        step_seconds: of a step.
        images_per_second: of all replicas.
        efficiency: images per second over those of as many devices that train by themselves, 0..1.
    """

    replicas: int
    step_seconds: float
    images_per_second: float
    efficiency: float


def ring_bytes(num_bytes: float, replicas: int) -> float:
    """Returns the bytes that each device sends when a ring sums tensors of `num_bytes` over the replicas."""
    return 2 * (replicas - 1) / replicas * num_bytes


def ring_seconds(num_bytes: float, sums: float, replicas: int, link: Link) -> float:
    """Returns the seconds of `sums` all-reduces, each of 2 (N - 1) hops, which have `num_bytes` between them."""
    return sums * 2 * (replicas - 1) * link.latency + ring_bytes(num_bytes, replicas) / link.bytes_per_second


def predict(terms: StepTerms, replicas: int, link: Link, overlap: float, speed: float = 1.0) -> Prediction:
    """Returns what a step on `replicas` devices would take, each with the measured batch.

    Args:
        terms: what was measured.
        replicas: how many.
        link: what connects them.
        overlap: share of the computation during which gradients are exchanged, 0 to `BACKWARD_SHARE`.
        speed: of the devices, as a multiple of the measured one's.
    """
    single = terms.single_seconds / speed
    if replicas == 1:
        return Prediction(1, single, terms.images / single, 1.0)
    compute = terms.compute_seconds / speed
    waited = ring_seconds(terms.waited_bytes, terms.waited_sums, replicas, link)
    gradients = ring_seconds(terms.gradient_bytes, terms.gradient_sums, replicas, link)
    step = compute + waited + max(0.0, gradients - overlap * compute)
    return Prediction(replicas, step, replicas * terms.images / step, single / step)
