"""One model of what is known, and the renderers that show it. No renderer computes."""
