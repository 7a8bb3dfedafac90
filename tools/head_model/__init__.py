"""The steps that build the head model's asset; `build_head_model.py` runs them."""
