"""Tools of other programs. All that knows the Model Context Protocol is in here."""
