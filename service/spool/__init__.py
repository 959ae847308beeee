"""
The spool: genuine messages that Redis does not take now, on the receiver's own disk until it does.
"""
