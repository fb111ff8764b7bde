"""Auto-think, pure: the grammar, its parser, the choice of mode and the driver of phases. No I/O, no framework."""
