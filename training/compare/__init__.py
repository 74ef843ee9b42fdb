"""Models, designs re-made, simple cuts and the limits of what can be reached."""
