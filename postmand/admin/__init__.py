"""postmanctl: the operator's tool beside the node."""
