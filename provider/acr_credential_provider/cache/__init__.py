"""What this node keeps on disk: answers, failures, tokens, and the locks around them. Imports fastpath and model."""
