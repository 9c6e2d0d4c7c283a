"""Of many tools, instructions or facts, those that fit a goal."""
