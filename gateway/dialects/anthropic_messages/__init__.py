"""The anthropic-messages dialect: ``CODEC`` reads and renders Anthropic's Messages API."""

from gateway.dialects.anthropic_messages.codec import CODEC

__all__ = ["CODEC"]
