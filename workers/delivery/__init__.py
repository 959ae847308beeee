"""
Delivery: when the next PATCH of a call may go, what it says, and what its answer means.
"""
