"""Pictures of what the engine does. This package imports the engine, never the reverse."""
