"""What devices can do at most: dense matrix products in half precision, accumulated in float32.

TFLOP/s, from the makers' data sheets; where a sheet states the figure with sparsity, half of it is taken.
"""

from __future__ import annotations

import torch

# Looked for in the device's name in this order: longer names before those that they contain.
PEAKS_TFLOPS = (
    ("B200", 2250.0),  # NVIDIA DGX B200 data sheet: 72 PFLOPS FP8 sparse for 8, a quarter of that in BF16 dense
    ("H200", 989.4),  # NVIDIA H200 data sheet: BF16 1,979 with sparsity
    ("H100 PCIe", 756.5),  # NVIDIA H100 data sheet, PCIe column: BF16 1,513 with sparsity
    ("H100 NVL", 835.5),  # NVIDIA H100 data sheet, NVL column: BF16 1,671 with sparsity
    ("H100", 989.4),  # NVIDIA H100 data sheet, SXM column: BF16 1,979 with sparsity
    ("A100", 312.0),  # NVIDIA A100 data sheet: BF16 312
    ("A10", 125.0),  # NVIDIA A10 data sheet: BF16 125
    ("A40", 149.7),  # NVIDIA A40 data sheet: BF16 149.7
    ("RTX A6000", 154.8),  # NVIDIA RTX A6000 data sheet: tensor 309.7 with sparsity
    ("RTX 6000 Ada", 364.2),  # NVIDIA RTX 6000 Ada data sheet: FP8 1,457 with sparsity, a quarter of that
    ("L40S", 362.1),  # NVIDIA L40S data sheet: BF16 362.05 dense
    ("L4", 121.0),  # NVIDIA L4 data sheet: BF16 242 with sparsity
    ("RTX 4090", 165.2),  # NVIDIA Ada architecture paper, appendix: FP16 with FP32 accumulate 165.2
    ("RTX 3090", 71.0),  # NVIDIA Ampere GA102 architecture paper: FP16 with FP32 accumulate 71
    ("V100", 125.0),  # NVIDIA V100 data sheet, SXM2: FP16 125
    ("T4", 65.0),  # NVIDIA T4 data sheet: FP16 65
    ("MI300X", 1307.4),  # AMD Instinct MI300X data sheet: BF16 1,307.4
    ("MI250X", 383.0),  # AMD Instinct MI250X data sheet: BF16 383
)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Return a device's peak in floating-point operations a second; None where it is not known.

    Args:
        device: of CPUs nothing is known here.
        dtype: of the matrix products; nothing is known of float32.
    """
    if device.type != "cuda" or dtype == torch.float32:
        return None
    name = torch.cuda.get_device_name(device)
    return next((tflops * 1e12 for part, tflops in PEAKS_TFLOPS if part in name), None)
