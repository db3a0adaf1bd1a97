"""Metrics: one file each, or one folder where several share mathematics. Encoders are in metrics/encoders.

A metric computes one number, or counts, from what it is given. It reads no files, plans no records and knows no generator;
intervals that it does not bring itself are the harness's.
"""
