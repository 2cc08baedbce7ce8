"""Temper: pod CPU quality of service, decided inside the kernel, failing toward the stock scheduler."""

__version__ = "0.1.0"
