"""Which node takes a call: the routing table, the choice among nodes, and what happens when none is there."""
