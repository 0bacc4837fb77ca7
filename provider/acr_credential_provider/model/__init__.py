"""Values and rules: errors, ACR host names, tokens, the kubelet's protocol. No I/O. Imports fastpath only."""
