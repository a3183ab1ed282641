"""Tests against a real vLLM on CPU: `make test-vllm`."""
