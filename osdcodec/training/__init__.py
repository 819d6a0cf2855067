"""Training of a profile: `python -m osdcodec.training STAGE …`. Needs the extra `train`."""
