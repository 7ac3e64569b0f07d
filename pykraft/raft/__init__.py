"""The quorum node as a pure state machine: roles, epochs, high watermark, divergence."""
