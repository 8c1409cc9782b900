"""HTTP: the shapes that clients know, the web page, and a server that stays up."""
