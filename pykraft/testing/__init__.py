"""For tests: a controller in a thread, a pytest fixture, and stand-ins for ZooKeeper and brokers."""

from pykraft.testing.handle import Controller, controller, serve_controller

__all__ = ["Controller", "controller", "serve_controller"]
