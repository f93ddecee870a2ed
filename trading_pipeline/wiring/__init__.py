"""From settings to working parts: the only package that names every adapter."""

from trading_pipeline.wiring.rooms import Room, ScratchRooms
from trading_pipeline.wiring.version import code_version
from trading_pipeline.wiring.workspace import EARNINGS, SECTORS, Workspace, WrittenReport, open_workspace

__all__ = [
    "EARNINGS",
    "SECTORS",
    "Room",
    "ScratchRooms",
    "Workspace",
    "WrittenReport",
    "code_version",
    "open_workspace",
]
