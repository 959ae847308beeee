"""
What the groups of settings share that `Settings` is put together of.
"""

from pydantic import BaseModel, ConfigDict


class SettingsPart(BaseModel):
    """
    A group of settings, which is only read as a part of `Settings`: no schema of its own is built.
    """

    model_config = ConfigDict(defer_build=True)
