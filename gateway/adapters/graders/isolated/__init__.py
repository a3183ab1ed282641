"""Programs that the gateway starts as processes of their own, and never imports: what they meet is not to be trusted.

They import nothing of the gateway but one another.
"""
