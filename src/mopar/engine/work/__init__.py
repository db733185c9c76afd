"""What a kernel of the engine does: operations, bytes, and the shapes that decide how well it does it."""
