"""The pages: a stranger becomes a member, a member looks after the account."""
