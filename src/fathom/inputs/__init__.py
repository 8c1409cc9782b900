"""Text, pictures and sound ↔ arrays: tokenizers and chat templates."""
