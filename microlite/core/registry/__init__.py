"""Which services there are, and which nodes of them: known by the connections that the nodes hold."""
