"""Values and rules: node facts, steps, placement, environment files. No I/O."""
