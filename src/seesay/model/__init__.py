"""Model: blocks, the two sides, connectors, families; generating, checkpoints. Tensors only."""
