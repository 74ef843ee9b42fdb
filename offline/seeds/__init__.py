"""From a group of events to a trigger of its own: what the events are, and a seed for them in hardware integers."""
