"""What the suites share: the program under test, node trees, replicas, documents."""
