"""The fast runner: the batch by CUDA graphs and page-locked memory."""
