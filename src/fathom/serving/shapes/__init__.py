"""The shapes in which clients ask: one file each, and a router of it over a service."""
