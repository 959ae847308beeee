"""
What `buildr-calls check` looks at, one module for each part of an installation.
"""
