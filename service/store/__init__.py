"""
What is kept in Redis, one module per record; the only place that knows keys.
"""
