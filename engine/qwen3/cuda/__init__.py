"""The batch by CUDA graphs and page-locked memory."""
