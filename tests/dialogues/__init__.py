"""Wire transcripts, and what runs them."""
