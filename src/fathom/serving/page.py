"""The first page: chat, classes, what things cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

if TYPE_CHECKING:
    from fathom.serving.house import House


def router(house: House) -> APIRouter:
    """Return the routes of the page."""
    return APIRouter(tags=["page"])
