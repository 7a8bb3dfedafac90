"""Data sets, synthetic heads and corruption, for training and evaluation."""
