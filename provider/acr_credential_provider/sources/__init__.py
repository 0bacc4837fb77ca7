"""Where cloud credentials come from: one module a source, one contract for all."""
