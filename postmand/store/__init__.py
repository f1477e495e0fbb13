"""What is kept: accounts, sealed mailboxes, and the ids that join threads."""
