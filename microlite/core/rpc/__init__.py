"""The wire between processes: frames, connections that carry many calls in both directions, and their clients."""
