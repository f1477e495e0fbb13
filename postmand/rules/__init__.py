"""Pure decisions: a value in, a Verdict out; no reactor, no store, no clock."""
