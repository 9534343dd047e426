"""Reads the pickles inside PyTorch's checkpoints; nothing that they name is imported or called."""
