"""
How many of something, in words for people.
"""


def counted(number: int, one: str, many: str) -> str:
    """So many of something, with the words for one or for several: `1 call`, `1,200 calls`."""
    if number == 1:
        return f"1 {one}"
    return f"{number:,} {many}"
