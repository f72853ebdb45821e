"""Hand-written Triton kernels for the decode step and the codec. Imported only where a CUDA engine runs."""
