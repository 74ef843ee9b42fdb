"""ad40: anomaly trigger for 40 MHz collisions. The waist that every room of the project shares."""

__version__ = "0.1.0"
