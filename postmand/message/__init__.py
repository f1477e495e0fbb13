"""What a message is, and how it is washed: bytes in, bytes out, nothing else."""
