"""The NVIDIA devices of this machine, asked of the driver itself: no package is needed to learn that there are none."""

import ctypes
import sys
from dataclasses import dataclass
from functools import lru_cache

from terraloom.errors import UnavailableError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU; `capability` is 89 for 8.9, `cuda` the newest CUDA that the driver speaks, `memory` is in bytes."""

    name: str
    capability: int
    cuda: str
    memory: int

    def __str__(self) -> str:
        return f"{self.name}, SM{self.capability}, {self.memory / 2**30:.0f} GiB, CUDA {self.cuda}"


@lru_cache(maxsize=1)
def devices() -> tuple[Device, ...]:
    """All GPUs that the driver shows, at least one. Raises UnavailableError, which says what is missing."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        raise UnavailableError(f"there is no NVIDIA driver ({LIBRARY} is not found)") from None
    status = driver.cuInit(0)
    if status:
        raise UnavailableError(f"the NVIDIA driver does not start (cuInit says {status})")
    count, version = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(version))
    if not count.value:
        raise UnavailableError("the NVIDIA driver shows no GPU")
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return tuple(_device(driver, ordinal, cuda) for ordinal in range(count.value))


def _device(driver: ctypes.CDLL, ordinal: int, cuda: str) -> Device:
    handle, number, memory, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(handle), ordinal)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    capability = 0
    for attribute, weight in ((_MAJOR, 10), (_MINOR, 1)):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        capability += weight * number.value
    return Device(name.value.decode(errors="replace"), capability, cuda, memory.value)
