"""Values and rules: errors, ACR host names, tokens, the kubelet's request. No I/O. Imports fastpath only."""
